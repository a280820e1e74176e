/* template.h -- the files of the page, as the build puts them into the program (strings.py). Local
 * to the folder. */
#ifndef REPORT_TEMPLATE_H
#define REPORT_TEMPLATE_H

extern const char tess_page_html[], tess_page_css[], tess_page_js[];

#endif
