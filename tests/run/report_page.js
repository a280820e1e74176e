// report_page.js -- what report_page.py does with a page that is open in a frame of this document, as a reader would: the answers
// go into #findings as JSON. FRAME: {page, widths}; ERRORS is filled by a script at the page's head.
"use strict";
const wait = ms => new Promise(done => setTimeout(done, ms));

async function open(width) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width:${width}px;height:900px;border:0`;
  document.body.replaceChildren(frame);
  await new Promise(done => { frame.onload = done; frame.srcdoc = FRAME.page; });
  await wait(300);
  return frame.contentWindow;
}

const box = node => { const b = node.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; };
const within = (a, b, room) => a[0] >= b[0] - room && a[1] >= b[1] - room && a[2] <= b[2] + room && a[3] <= b[3] + room;
const overlap = (a, b) => Math.min(a[2], b[2]) - Math.max(a[0], b[0]) > 1 && Math.min(a[3], b[3]) - Math.max(a[1], b[1]) > 3;

// Marks of each figure, letters that leave their picture, and letters upon letters.
function figures(doc) {
  const found = {};
  for (const figure of doc.querySelectorAll("figure")) {
    const svg = figure.querySelector("svg"), bounds = box(svg), marks = [...svg.querySelectorAll(".mark")];
    const texts = [...svg.querySelectorAll("text")].filter(t => !(t.getAttribute("transform") || "").includes("rotate"));
    const boxes = texts.map(box), over = [];
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, k) => overlap(a, b) && over.push([texts[i].textContent, texts[i + 1 + k].textContent])));
    found[figure.id] = {
      marks: marks.length, empty: marks.filter(m => { const b = m.getBoundingClientRect(); return b.width + b.height < 0.5; }).length,
      outside: texts.filter((t, i) => !within(boxes[i], bounds, 1.5)).map(t => t.textContent), over,
      caption: figure.querySelector("figcaption").textContent, label: svg.getAttribute("aria-label"),
      stops: svg.querySelectorAll("[tabindex='0']").length,
      named: [...svg.querySelectorAll("[tabindex='0']")].every(m => m.getAttribute("aria-label")),
    };
  }
  return found;
}

function layout(win) {
  const doc = win.document, root = doc.documentElement;
  const wide = [...doc.querySelectorAll("body *")].filter(n => !n.closest("svg, .scroll, .skip") && n.getBoundingClientRect().right > root.clientWidth + 1).map(n => n.outerHTML.slice(0, 80));
  const style = win.getComputedStyle(doc.body);
  return { scroll: root.scrollWidth - root.clientWidth, wide, ground: style.backgroundColor, ink: style.color,
    soft: win.getComputedStyle(doc.querySelector("figcaption")).color, edge: win.getComputedStyle(doc.querySelector("button")).borderTopColor, dark: win.matchMedia("(prefers-color-scheme: dark)").matches };
}

// Every table as its button saves it.
async function saved(win) {
  const doc = win.document, blobs = [], out = {};
  win.Blob = class { constructor(parts) { this.content = parts.join(""); } };
  win.URL.createObjectURL = blob => { blobs.push(blob.content); return "#"; };
  win.URL.revokeObjectURL = () => {};
  win.HTMLAnchorElement.prototype.click = function () { out[this.download] = blobs[blobs.length - 1]; };
  for (const button of doc.querySelectorAll("[data-save]")) { button.closest("details").open = true; button.click(); }
  await wait(50);
  return { texts: out, shown: [...doc.querySelectorAll("details.numbers table")].map(t => t.querySelectorAll("tbody tr").length) };
}

async function searching(win, name) {
  const doc = win.document, input = doc.getElementById("map-search"), type = text => { input.value = text; input.dispatchEvent(new win.Event("input", { bubbles: true })); };
  const marks = () => [...doc.querySelectorAll("#figure-map .mark.found")], at = () => box(marks()[0]);
  type(name);
  const one = { found: marks().length, faint: doc.querySelectorAll("#figure-map .mark.faint").length, said: doc.getElementById("map-found").textContent,
    names: [...doc.querySelectorAll("#figure-map text")].map(t => t.textContent).filter(t => t === name).length };
  const ticks = () => [...doc.querySelectorAll("#figure-map g[aria-hidden] text")].map(t => t.textContent).join(" ");
  const distances = () => { const all = [...doc.querySelectorAll("#figure-map .mark")].map(box); return Math.max(...all.map(b => b[0])) - Math.min(...all.map(b => b[0])); };
  const zoom = { ticks: [ticks()], spread: [distances()], place: [] };
  const note = () => { zoom.ticks.push(ticks()); zoom.spread.push(distances()); zoom.place.push(marks().length ? at() : null); };
  zoom.place.push(at());
  doc.getElementById("map-in").click(); note();
  doc.querySelector("#figure-map svg").dispatchEvent(new win.WheelEvent("wheel", { ctrlKey: true, deltaY: -100, clientX: 400, clientY: 300, bubbles: true, cancelable: true })); note();
  const svg = doc.querySelector("#figure-map svg"), drag = (kind, x, target) => target.dispatchEvent(new win.PointerEvent(kind, { clientX: x, clientY: 300, bubbles: true }));
  drag("pointerdown", 400, svg); drag("pointermove", 340, win); drag("pointerup", 340, win); note();
  const point = doc.querySelector("#figure-map svg [tabindex='0']"), label = point.getAttribute("aria-label");
  point.focus();
  point.dispatchEvent(new win.KeyboardEvent("keydown", { key: "-", bubbles: true, cancelable: true }));
  const kept = doc.activeElement !== point && doc.activeElement.getAttribute("aria-label") === label;
  for (let i = 0; i < 100; i++) doc.getElementById("map-in").click();
  const deep = { ticks: ticks().split(" ").length, spread: distances() };
  doc.getElementById("map-all").click(); note();
  type("no such perturbation");
  const none = { found: marks().length, said: doc.getElementById("map-found").textContent };
  type("");
  return { one, zoom, none, deep, kept, after: doc.querySelectorAll("#figure-map .mark.faint").length };
}

function keyboard(win) {
  const doc = win.document, out = {};
  for (const figure of doc.querySelectorAll("figure")) {
    const first = figure.querySelector("svg [tabindex='0']");
    if (!first) continue;
    first.focus();
    const said = [first.getAttribute("aria-label")];
    for (const key of ["ArrowRight", "End"]) {
      doc.activeElement.dispatchEvent(new win.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
      said.push(doc.activeElement.getAttribute("aria-label"));
    }
    out[figure.id] = { said, tip: !doc.getElementById("tip").hidden && doc.getElementById("tip").textContent === said[2], ring: win.getComputedStyle(doc.activeElement).strokeWidth };
  }
  return out;
}

function choices(win) {
  const doc = win.document, out = [];
  for (const select of doc.querySelectorAll("section select")) {
    const figure = select.closest("section").querySelector("figure"), before = figure.querySelector("svg").outerHTML, old = select.value;
    select.value = [...select.options].map(o => o.value).find(v => v !== old) ?? old;
    select.dispatchEvent(new win.Event("change"));
    out.push([select.parentNode.textContent.slice(0, 12), select.value === old || figure.querySelector("svg").outerHTML !== before]);
    select.value = old;
    select.dispatchEvent(new win.Event("change"));
  }
  return out;
}

(async () => {
  const all = {};
  try {
    for (const width of FRAME.widths) {
      const win = await open(width);
      all[width] = { figures: figures(win.document), layout: layout(win) };
      if (width === FRAME.widths[0]) {
        Object.assign(all, { lead: win.document.getElementById("lead").textContent, facts: [...win.document.querySelectorAll("#trained dd")].map(d => d.textContent),
          warnings: [...win.document.querySelectorAll(".warning")].map(p => p.textContent), search: await searching(win, FRAME.name), keyboard: keyboard(win), choices: choices(win), saved: await saved(win),
          headings: [...win.document.querySelectorAll("h1, h2, h3")].map(h => h.tagName + " " + h.textContent), missing: [...win.document.querySelectorAll(".missing")].map(p => p.textContent),
          links: [...win.document.querySelectorAll("nav a")].every(a => win.document.querySelector(a.getAttribute("href"))),
          labels: [...win.document.querySelectorAll("input, select")].every(i => i.closest("label") || i.getAttribute("aria-label")) });
      }
      all[width].requests = win.performance.getEntriesByType("resource").map(e => e.name);
      all[width].errors = win.ERRORS;
    }
  } catch (error) { all.failed = String(error.stack || error); }
  const pre = document.createElement("pre");
  pre.id = "findings";
  pre.textContent = JSON.stringify(all);
  document.body.replaceChildren(pre);
})();
