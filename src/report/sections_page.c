/* sections_page.c -- the page: its template, style and script are page.html, page.css and page.js,
 * which the build makes strings of. */
#include "sections.h"

#include "template.h"

#include "tessera/alloc.h"

#include <stdlib.h>
#include <string.h>

struct page {
    char *text; /* own */
    size_t n, room;
};

static void add(struct page *page, const char *text, size_t n)
{
    page->text = tess_grow(page->text, &page->room, page->n + n + 1, 1);
    memcpy(page->text + page->n, text, n);
    page->n += n;
    page->text[page->n] = '\0';
}

/* JSON within a script of HTML: `<` can end it or begin a comment, and stands in strings alone. */
static void add_json(struct page *page, const char *text)
{
    for (size_t n; *text; text += n) {
        n = strcspn(text, "<");
        add(page, text, n);
        if (text[n] == '<') {
            add(page, "\\u003c", 6);
            n++;
        }
    }
}

char *tess_sections_page(const json_t *all)
{
    static const struct {
        const char *mark, *text;
    } parts[] = {{"/*style*/", tess_page_css}, {"/*numbers*/", NULL}, {"/*script*/", tess_page_js}};
    char *json = json_dumps(all, TESS_SECTIONS_JSON);
    const char *rest = tess_page_html;
    struct page page = {NULL, 0, 0};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const char *at = strstr(rest, parts[i].mark);

        add(&page, rest, (size_t)(at - rest));
        if (parts[i].text)
            add(&page, parts[i].text, strlen(parts[i].text));
        else
            add_json(&page, json);
        rest = at + strlen(parts[i].mark);
    }
    add(&page, rest, strlen(rest));
    free(json);
    return page.text;
}
