// page.js -- draws the figures of a report from the numbers inside the page. No library, nothing from elsewhere: a figure is
// a function of the width that it has, which returns an SVG whose data marks have the class "mark".
"use strict";
const data = JSON.parse(document.getElementById("numbers").textContent);
const COLOURS = ["var(--c0)", "var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)", "var(--c7)", "var(--c6)"];
const LABELS = {
  rmse: "root mean squared error", mae: "mean absolute error", r2: "R²", pearson: "Pearson correlation",
  pearson_delta: "Pearson correlation of changes against control",
  pearson_delta_ctxmean: "Pearson correlation of changes against the context's mean",
  discrimination_l2: "discrimination (L2)", overlap_at_20: "overlap of the 20 most changed readouts",
};
const label = name => LABELS[name] || name.replaceAll("_", " ");

// ---- elements ----
function add(parent, name, attributes = {}, ...children) {
  const space = name === "svg" || (parent && parent.namespaceURI === "http://www.w3.org/2000/svg");
  const node = space ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.map(child => (child === null || child === undefined ? "" : child)));
  if (parent) parent.append(node);
  return node;
}

function format(x, digits = 4) {
  if (x === null || x === undefined || x === "") return "–";
  if (typeof x !== "number") return String(x);
  if (Number.isInteger(x)) return Math.abs(x) < 1e5 ? String(x) : x.toLocaleString("en");
  return Math.abs(x) >= 1e5 || Math.abs(x) < 1e-4 ? x.toExponential(2) : String(Number(x.toPrecision(digits)));
}

// Round numbers that divide [low, high] into about n parts.
function ticks(low, high, n) {
  const raw = (high - low) / Math.max(1, n), size = 10 ** Math.floor(Math.log10(raw));
  const step = size * [1, 2, 5, 10].find(f => f * size >= raw * 0.999), out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9 && out.length < 100; i++) out.push(Number((i * step).toPrecision(12)));
  return out;
}

function extent(values, margin = 0.04) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (Number.isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
  if (!(low <= high)) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * margin;
  return [low - room, high + room];
}

let canvas;
function widthOf(text, size = 12) {
  canvas = canvas || document.createElement("canvas").getContext("2d");
  canvas.font = `${size}px system-ui, sans-serif`;
  return canvas.measureText(text).width * 1.06;
}

function shorten(text, room) {
  if (widthOf(text) <= room) return text;
  let n = text.length;
  while (n > 1 && widthOf(text.slice(0, n) + "…") > room) n--;
  return text.slice(0, n) + "…";
}

// An SVG with axes. spec: width, height, x, y ([low, high]), xLabel, yLabel, title, and left: room of the labels there.
function chart(spec) {
  const left = spec.left ?? 58, right = spec.right ?? 22, top = 10, bottom = spec.xLabel ? 46 : 12;
  const w = spec.width, h = spec.height;
  const svg = add(null, "svg", { viewBox: `0 0 ${w} ${h}`, width: w, height: h, role: "group", "aria-label": spec.title });
  const X = v => left + (v - spec.x[0]) / (spec.x[1] - spec.x[0]) * (w - left - right);
  const Y = v => h - bottom - (v - spec.y[0]) / (spec.y[1] - spec.y[0]) * (h - top - bottom);
  const axes = add(svg, "g", { "aria-hidden": "true" });
  if (spec.xLabel) {
    for (const t of ticks(...spec.x, Math.max(2, Math.floor((w - left - right) / 90)))) {
      add(axes, "line", { class: "grid", x1: X(t), x2: X(t), y1: top, y2: h - bottom });
      add(axes, "text", { x: X(t), y: h - bottom + 16, "text-anchor": "middle" }, spec.xTick ? spec.xTick(t) : format(t));
    }
    add(axes, "text", { class: "soft", x: (left + w - right) / 2, y: h - 8, "text-anchor": "middle" }, shorten(spec.xLabel, w - 20));
  }
  if (spec.yLabel) {
    for (const t of ticks(...spec.y, Math.max(2, Math.floor((h - top - bottom) / 48)))) {
      add(axes, "line", { class: "grid", x1: left, x2: w - right, y1: Y(t), y2: Y(t) });
      add(axes, "text", { x: left - 6, y: Y(t) + 4, "text-anchor": "end" }, spec.yTick ? spec.yTick(t) : format(t));
    }
    add(axes, "text", { class: "soft", x: 0, y: 0, "text-anchor": "middle", transform: `translate(13 ${(top + h - bottom) / 2}) rotate(-90)` },
        shorten(spec.yLabel, h - 20));
  }
  add(axes, "path", { class: "axis", d: `M${left} ${top}V${h - bottom}H${w - right}` });
  return { svg, X, Y, left, right, top, bottom, w, h };
}

const path = points => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

// A shape for each kind, so that colour is not all that tells them apart.
function shape(kind, x, y, r) {
  const f = v => v.toFixed(1);
  switch (kind % 5) {
    case 1: return `M${f(x)} ${f(y - r * 1.2)}L${f(x + r * 1.1)} ${f(y + r * 0.8)}H${f(x - r * 1.1)}Z`;
    case 2: return `M${f(x - r * 0.9)} ${f(y - r * 0.9)}h${f(r * 1.8)}v${f(r * 1.8)}h${f(-r * 1.8)}Z`;
    case 3: return `M${f(x)} ${f(y - r * 1.3)}L${f(x + r * 1.3)} ${f(y)}L${f(x)} ${f(y + r * 1.3)}L${f(x - r * 1.3)} ${f(y)}Z`;
    case 4: return `M${f(x)} ${f(y + r * 1.2)}L${f(x + r * 1.1)} ${f(y - r * 0.8)}H${f(x - r * 1.1)}Z`;
    default: return `M${f(x - r)} ${f(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;
  }
}

// ---- what a mark says: to the mouse, to the keyboard, to a screen reader ----
const tip = document.getElementById("tip");
function showTip(node, text) {
  const box = node.getBoundingClientRect();
  tip.textContent = text;
  tip.hidden = false;
  tip.style.left = `${Math.max(4, Math.min(innerWidth - tip.offsetWidth - 4, box.left + box.width / 2 - tip.offsetWidth / 2))}px`;
  tip.style.top = `${box.top > tip.offsetHeight + 12 ? box.top - tip.offsetHeight - 8 : box.bottom + 8}px`;
}

// Marks of a figure are one stop of the Tab key; arrow keys, Home and End go from one to the next.
function speak(svg, marks, say) {
  if (!marks.length) return null;
  const number = new Map(marks.map((mark, i) => [mark, i]));
  const set = i => {
    for (const mark of svg.querySelectorAll("[tabindex='0']")) mark.setAttribute("tabindex", "-1");
    marks[i].setAttribute("tabindex", "0");
    marks[i].setAttribute("role", "img");
    marks[i].setAttribute("aria-label", say(i));
  };
  const go = i => { set(i); marks[i].focus(); };
  set(0);
  svg.addEventListener("pointerover", event => number.has(event.target) && showTip(event.target, say(number.get(event.target))));
  svg.addEventListener("pointerout", () => { tip.hidden = true; });
  svg.addEventListener("focusin", event => number.has(event.target) && showTip(event.target, say(number.get(event.target))));
  svg.addEventListener("focusout", () => { tip.hidden = true; });
  svg.addEventListener("keydown", event => {
    if (!number.has(event.target)) return;
    const i = number.get(event.target), last = marks.length - 1;
    const to = { ArrowRight: i + 1, ArrowDown: i + 1, ArrowLeft: i - 1, ArrowUp: i - 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") tip.hidden = true;
    if (to === undefined || to < 0 || to > last) return;
    event.preventDefault();
    go(to);
  });
  return go;
}

// ---- tables, and files of them ----
const tables = {}; // name -> {head, rows}: what can be saved
function tsv(name) {
  const cell = x => (x === null || x === undefined ? "" : String(x).replace(/[\t\n\r]/g, " "));
  return [tables[name].head, ...tables[name].rows].map(row => row.map(cell).join("\t")).join("\n") + "\n";
}

function save(name) {
  const link = add(null, "a", { href: URL.createObjectURL(new Blob([tsv(name)], { type: "text/tab-separated-values" })), download: `${name}.tsv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const SHOWN = 200;
function fill(table, head, rows) {
  const isNumber = head.map((_, k) => rows.some(row => typeof row[k] === "number"));
  const heading = add(add(table, "thead"), "tr"), body = add(table, "tbody");
  head.forEach((text, k) => add(heading, "th", { scope: "col", class: isNumber[k] && "number" }, text));
  for (const row of rows.slice(0, SHOWN)) {
    const line = add(body, "tr");
    row.forEach((value, k) => add(line, "td", { class: isNumber[k] && "number" }, format(value)));
  }
}

function numbers(parent, name, head, rows) {
  tables[name] = { head, rows };
  const box = add(parent, "details", { class: "numbers" }, "");
  add(box, "summary", {}, "Numbers behind this figure");
  const tools = add(box, "div", { class: "tools" });
  add(tools, "button", { type: "button", "data-save": name, onclick: () => save(name) }, `Save ${name}.tsv`);
  add(tools, "span", {}, rows.length > SHOWN ? `The first ${SHOWN} of ${rows.length} rows; the file has all.` : `${rows.length} rows.`);
  const scroll = add(box, "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Numbers: ${name}` });
  box.addEventListener("toggle", () => { if (box.open && !scroll.firstChild) fill(add(scroll, "table"), head, rows); });
}

// ---- sections and figures ----
const main = document.getElementById("page"), redraw = [];
function section(id, title) {
  const node = add(main, "section", { id, "aria-labelledby": `${id}-title` });
  add(node, "h2", { id: `${id}-title` }, title);
  add(add(document.getElementById("contents"), "li"), "a", { href: `#${id}` }, title);
  return node;
}

function missing(parent, part) {
  if (!part || part.missing) add(parent, "p", { class: "missing" }, part ? part.missing : "There is nothing to show.");
  return !part || part.missing;
}

// draw(width): an SVG. Drawn again when the width changes, for letters keep their size.
let figures = 0;
function figure(parent, id, draw, caption) {
  const node = add(parent, "figure", { id, "aria-labelledby": `${id}-caption` }), box = add(node, "div", { class: "draw" });
  const text = add(node, "figcaption", { id: `${id}-caption` });
  add(text, "b", {}, `Figure ${++figures}. `);
  text.append(...(Array.isArray(caption) ? caption : [caption]));
  let last = 0;
  const again = force => {
    const width = Math.round(box.clientWidth);
    if (width > 0 && (force || width !== last)) box.replaceChildren(draw(last = width));
  };
  redraw.push(again);
  again(true);
  return { node, box, again: () => again(true) };
}

function key(parent, entries) {
  const list = add(parent, "ul", { class: "key" });
  for (const [text, colour, kind] of entries) {
    const item = add(list, "li"), svg = add(item, "svg", { viewBox: "0 0 22 12", "aria-hidden": "true" });
    if (kind === "line" || kind === "dash") add(svg, "path", { d: "M1 6H21", class: kind === "dash" ? "guide" : "line", style: colour && `stroke:${colour}` });
    else if (kind === "hollow") add(svg, "path", { d: shape(0, 11, 6, 4), style: `fill:var(--card);stroke:${colour};stroke-width:1.6` });
    else add(svg, "path", { d: shape(kind || 0, 11, 6, 4), style: `fill:${colour}` });
    item.append(text);
  }
  return list;
}

function choice(parent, text, options, chosen, then) {
  const select = add(null, "select", { onchange: () => then(select.value) });
  for (const [value, name] of options) add(select, "option", { value, selected: value === chosen }, name);
  add(parent, "label", {}, `${text} `, select);
  return select;
}

// ---- what was trained ----
function facts(parent, pairs) {
  const list = add(parent, "dl");
  for (const [name, value] of pairs) if (value !== undefined && value !== null && value !== "") { add(list, "dt", {}, name); add(list, "dd", {}, format(value)); }
}

function drawTrained() {
  const node = section("trained", "What was trained on what"), { trained, store } = data, s = trained.settings, first = trained.members[0];
  facts(node, [["Model", `${s["model.kind"]}, ${trained.members.length} member${trained.members.length > 1 ? "s" : ""}`],
    ["Symbols", `${trained.perturbations} perturbations, ${trained.readouts} readouts, ${trained.contexts} contexts`],
    ["Store", trained.store],
    ["Hash of its values", first.store_hash], ["Hash of its split", first.split_hash]]);
  add(node, "h3", {}, "Store that is scored");
  if (!missing(node, store)) {
    facts(node, [["File", store.file], ["Held out by", store.split_method], ["Experiments", store.experiments],
      ["Hash of the values", store.hash], ["Hash of the split", store.split_hash], ["Written by", store.created_by]]);
    if (trained.members.some(m => m.store_hash !== store.hash || m.split_hash !== store.split_hash))
      add(node, "p", { class: "warning" }, "This is not what the model was trained on: what is held out here may have been trained on.");
  }
  add(node, "h3", {}, "Models");
  const head = ["file", "kind", "seed", "step", "best_epoch", "best_validation_rmse", "created_by", "hash"];
  const rows = trained.members.map(m => head.map(name => (name === "seed" ? String(m[name]) : m[name])));
  fill(add(add(node, "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Models" }), "table"), head.map(h => h.replaceAll("_", " ")), rows);
  tables.models = { head, rows };
  if (store.context) {
    const names = Object.keys(store.context[0] || {}), lines = store.context.map(c => names.map(n => (typeof c[n] === "boolean" ? (c[n] ? "yes" : "no") : c[n])));
    const box = add(node, "details");
    add(box, "summary", {}, `Contexts of the store (${lines.length} of ${store.contexts_in_all})`);
    fill(add(add(box, "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Contexts" }), "table"), names, lines);
    tables.contexts = { head: names, rows: lines };
  }
  const settings = add(node, "details");
  add(settings, "summary", {}, "All settings of the first member");
  tables.settings = { head: ["setting", "value"], rows: Object.entries(s) };
  fill(add(add(settings, "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Settings" }), "table"), ["setting", "value"], Object.entries(s));
}

function drawCommands() {
  const node = section("commands", "Commands and versions");
  for (const [what, line] of data.commands) { add(node, "div", {}, `${what}:`); add(node, "pre", {}, line); }
  add(node, "h3", {}, "Versions");
  add(node, "pre", {}, data.versions.join("\n"));
}

// ---- the curve of the training ----
function drawCurve() {
  const node = section("curve", "Training"), curve = data.curve;
  if (missing(node, curve)) return;
  const members = curve.members.filter(m => m.epoch), rows = [];
  members.forEach(m => m.epoch.forEach((e, i) => rows.push([m.member, e, m.train_rmse[i], m.val_rmse[i], m.learning_rate[i]])));
  key(node, [["training", COLOURS[1], "line"], ["validation", COLOURS[0], "line"], ["best epoch", COLOURS[0], 3]]);
  figure(node, "figure-curve", width => {
    const c = chart({ width, height: 300, x: extent(rows.map(r => r[1]), 0.02), y: extent(rows.flatMap(r => [r[2], r[3]])), xLabel: "epoch",
      yLabel: "root mean squared error (scaled values)", title: "Error of training and validation by epoch" });
    const marks = [], said = [];
    for (const m of members) {
      for (const [list, colour] of [[m.train_rmse, COLOURS[1]], [m.val_rmse, COLOURS[0]]]) {
        const points = m.epoch.map((e, i) => [e, list[i]]).filter(p => Number.isFinite(p[1]));
        add(c.svg, "path", { class: "line mark", style: `stroke:${colour}`, d: path(points.map(([x, y]) => [c.X(x), c.Y(y)])) });
      }
      const best = m.val_rmse.reduce((b, v, i) => (Number.isFinite(v) && (b < 0 || v < m.val_rmse[b]) ? i : b), -1);
      if (best < 0) continue;
      marks.push(add(c.svg, "path", { class: "mark", style: `fill:${COLOURS[0]}`, d: shape(3, c.X(m.epoch[best]), c.Y(m.val_rmse[best]), 4.5) }));
      said.push(`${m.member}\nbest: epoch ${m.epoch[best]}, validation ${format(m.val_rmse[best])}`);
    }
    speak(c.svg, marks, i => said[i]);
    return c.svg;
  }, `Error over the training, of ${members.length} of ${curve.in_all} member${curve.in_all > 1 ? "s" : ""}` +
     `${members.some(m => m.epochs > m.epoch.length) ? `; every ${Math.ceil(members[0].epochs / members[0].epoch.length)}th epoch is shown` : ""}. ` +
     "The member that is used is that of its best epoch. Scores below are in the units of the store.");
  numbers(node, "curve", ["member", "epoch", "train_rmse", "val_rmse", "learning_rate"], rows);
}

// ---- scores ----
const scores = data.scores && !data.scores.missing ? data.scores : null;
// What the scored experiments are: only those of the test split were kept from the training altogether.
const KIND = { train: "trained", val: "validation", test: "held-out" }, split = scores ? scores.split : "test", kind = KIND[split] || "scored";
const WARNING = { train: "These experiments were trained on: the scores say how well the model repeats them, not how well it predicts others.",
  val: "These experiments chose the epoch, the blend and the calibration: scores on them are somewhat too good." }[split];
const ceilingOf = group => (group.ceiling_experiments ? (group.ceiling_experiments === group.experiments ? "" : `, of ${group.ceiling_experiments} of the ${group.experiments} experiments alone: those with replicates`) : "");
const metricChoices = () => scores.metrics.filter((_, k) => scores.all.values.some(v => v[k] !== null)).map(name => [name, label(name)]);
const methodName = m => (m === "noise ceiling" ? m : m.replaceAll("_", " "));

function drawScores() {
  const node = section("scores", `Scores on ${kind} experiments`);
  if (missing(node, data.scores)) return;
  if (WARNING) add(node, "p", {}, WARNING);
  const C = scores.methods.length - 1;
  let metric = "rmse";
  const tools = add(node, "div", { class: "tools" });
  choice(tools, "Score", metricChoices(), metric, value => { metric = value; shown.again(); });
  key(node, [["model", COLOURS[0]], ["baseline", COLOURS[7], "hollow"]].concat(scores.all.values[C].some(v => v !== null) ? [["noise ceiling", null, "dash"]] : []));
  const shown = figure(node, "figure-scores", width => {
    const k = scores.metrics.indexOf(metric), better = scores.is_error[k] ? 1 : -1, rows = [];
    for (let m = 0; m < C; m++) if (scores.all.values[m][k] !== null) rows.push([m, scores.all.values[m][k], scores.all.intervals[m][k]]);
    rows.sort((a, b) => (a[1] - b[1]) * better);
    const ceiling = scores.all.values[C][k], left = Math.min(width * 0.4, Math.max(...rows.map(r => widthOf(methodName(scores.methods[r[0]])))) + 14);
    const c = chart({ width, height: 64 + 26 * rows.length, left, x: extent(rows.flatMap(r => [r[1], ...(r[2] || [])]).concat(ceiling ?? [])), y: [0, 1],
      xLabel: `${label(metric)}${scores.is_error[k] ? ", less is better" : ", more is better"}`, title: `${label(metric)} of the model and all baselines` });
    if (ceiling !== null) {
      add(c.svg, "line", { class: "guide mark", x1: c.X(ceiling), x2: c.X(ceiling), y1: c.top, y2: c.h - c.bottom });
    }
    const marks = rows.map(([m, value, interval], i) => {
      const y = c.top + (i + 0.5) * (c.h - c.top - c.bottom) / rows.length, colour = m ? COLOURS[7] : COLOURS[0];
      add(c.svg, "text", { x: c.left - 8, y: y + 4, "text-anchor": "end", "font-weight": m ? undefined : 600 }, shorten(methodName(scores.methods[m]), c.left - 12));
      if (interval) add(c.svg, "line", { class: "bar", style: `stroke:${colour}`, x1: c.X(interval[0]), x2: c.X(interval[1]), y1: y, y2: y });
      return add(c.svg, "path", { class: "mark", d: shape(0, c.X(value), y, m ? 4.5 : 6), style: m ? `fill:var(--card);stroke:${colour};stroke-width:1.8` : `fill:${colour}` });
    });
    speak(c.svg, marks, i => `${methodName(scores.methods[rows[i][0]])}: ${format(rows[i][1])}` +
      (rows[i][2] ? `\n95 % interval ${format(rows[i][2][0])} to ${format(rows[i][2][1])}` : "") + (ceiling !== null ? `\nnoise ceiling ${format(ceiling)}` : ""));
    return c.svg;
  }, `The model beside every baseline on the ${scores.all.experiments} experiments of split ‘${scores.split}’ (${scores.all.perturbations} perturbations, ` +
     `${scores.all.observations} values). Bars: 95 % intervals of ${scores.resamples} resamples of perturbations. ` +
     (scores.all.values[C].some(v => v !== null) ? "Dashed: the noise ceiling, what a perfect model would reach against these replicates" + ceilingOf(scores.all) + "." :
       "Without replicates there is no noise ceiling.") +
     (scores.blend ? ` The model is blended: ${scores.blend.map(b => `${format(b.weight, 2)} of the model with ${b.baseline.replaceAll("_", " ")}`).join("; ")}.` : ""));
  const flat = group => scores.methods.flatMap((m, i) => scores.metrics.map((name, k) => [group.name, m, name, group.values[i][k], ...(group.intervals[i][k] || [null, null])]))
    .filter(row => row[3] !== null);
  numbers(node, "scores", ["context", "method", "metric", "value", "low", "high"], flat(scores.all));
  drawContexts(C, flat);
}

function drawContexts(C, flat) {
  const node = section("contexts", "Scores by context"), list = scores.contexts;
  if (!list.length) { missing(node, null); return; }
  const best = scores.methods.slice(1, C).map((_, b) => b + 1).filter(b => scores.all.values[b][0] !== null).sort((a, b) => scores.all.values[a][0] - scores.all.values[b][0])[0];
  let metric = "rmse", other = best || 1;
  const tools = add(node, "div", { class: "tools" });
  choice(tools, "Score", metricChoices(), metric, value => { metric = value; shown.again(); });
  choice(tools, "beside", scores.methods.slice(1, C).map((m, b) => [String(b + 1), methodName(m)]), String(other), value => { other = Number(value); shown.again(); });
  key(node, [["model", COLOURS[0]], ["baseline", COLOURS[1], "hollow"], ["noise ceiling", COLOURS[7], 3]]);
  const shown = figure(node, "figure-contexts", width => {
    const k = scores.metrics.indexOf(metric), at = (g, m) => g.values[m][k];
    const rows = list.filter(g => at(g, 0) !== null || at(g, other) !== null);
    const left = Math.min(width * 0.45, Math.max(40, ...rows.map(g => widthOf(g.name))) + 14);
    const c = chart({ width, height: 60 + 20 * Math.max(1, rows.length), left, y: [0, 1], xLabel: label(metric),
      x: extent(rows.flatMap(g => [at(g, 0), at(g, other), at(g, C), ...(g.intervals[0][k] || [])])), title: `${label(metric)} of each context` });
    const marks = [], said = [];
    rows.forEach((g, i) => {
      const y = c.top + (i + 0.5) * (c.h - c.top - c.bottom) / rows.length, model = at(g, 0), base = at(g, other), ceiling = at(g, C), interval = g.intervals[0][k];
      add(c.svg, "text", { x: c.left - 8, y: y + 4, "text-anchor": "end" }, shorten(g.name, c.left - 12));
      if (interval) add(c.svg, "line", { class: "bar", style: `stroke:${COLOURS[0]}`, x1: c.X(interval[0]), x2: c.X(interval[1]), y1: y, y2: y });
      if (ceiling !== null) add(c.svg, "path", { class: "mark", d: shape(3, c.X(ceiling), y, 3.6), style: `fill:${COLOURS[7]}` });
      if (base !== null) add(c.svg, "path", { class: "mark", d: shape(0, c.X(base), y, 4), style: `fill:var(--card);stroke:${COLOURS[1]};stroke-width:1.7` });
      if (model !== null) marks.push(add(c.svg, "path", { class: "mark", d: shape(0, c.X(model), y, 4.5), style: `fill:${COLOURS[0]}` }));
      if (model !== null) said.push(`${g.name}: model ${format(model)}${interval ? ` (${format(interval[0])} to ${format(interval[1])})` : ""}\n${methodName(scores.methods[other])} ${format(base)}` +
        `${ceiling !== null ? `, ceiling ${format(ceiling)}` : ""}\n${g.experiments} experiments`);
    });
    speak(c.svg, marks, i => said[i]);
    return c.svg;
  }, `Scores within each context that has ${kind} experiments${list.length < scores.contexts_in_all ? `: the ${list.length} of ${scores.contexts_in_all} with most experiments` : ""}. ` +
     "Bars: 95 % intervals of the model. The ceiling is of the experiments with replicates alone.");
  numbers(node, "scores_by_context", ["context", "method", "metric", "value", "low", "high"], list.flatMap(flat));
}

// ---- what the other contexts give ----
function drawTransfer() {
  if (!data.transfer) return;
  const node = section("transfer", "What the other contexts give each"), { rows: all, contexts_in_all: n } = data.transfer, rows = all.filter(row => row[6] !== null);
  if (rows.length) {
    key(node, [["the others helped", COLOURS[0]], ["no difference", COLOURS[7], 2], ["the others hurt", COLOURS[1], 1]]);
    figure(node, "figure-transfer", width => {
      const left = Math.min(width * 0.45, Math.max(40, ...rows.map(row => widthOf(row[0]))) + 14);
      const c = chart({ width, height: 60 + 20 * rows.length, left, y: [0, 1], x: extent([0, ...rows.flatMap(row => row.slice(6, 9))]),
        xLabel: "RMSE, together less alone", title: "Difference that training on the other contexts makes, by context" });
      add(c.svg, "path", { class: "guide", d: path([[c.X(0), c.top], [c.X(0), c.h - c.bottom]]) });
      const marks = rows.map(([name, , , , , , difference, low, high, verdict], i) => {
        const y = c.top + (i + 0.5) * (c.h - c.top - c.bottom) / rows.length, kind = { helped: 0, hurt: 1 }[verdict] ?? 2, colour = COLOURS[kind === 2 ? 7 : kind];
        add(c.svg, "text", { x: c.left - 8, y: y + 4, "text-anchor": "end" }, shorten(name, c.left - 12));
        if (low !== null && high !== null) add(c.svg, "line", { class: "bar", style: `stroke:${colour}`, x1: c.X(low), x2: c.X(high), y1: y, y2: y });
        return add(c.svg, "path", { class: "mark", d: shape(kind, c.X(difference), y, 4.5), style: `fill:${colour}` });
      });
      speak(c.svg, marks, i => { const [name, train, test, , together, alone, difference, low, high, verdict] = rows[i];
        return `${name}: ${format(difference)}${low !== null ? ` (${format(low)} to ${format(high)})` : ""}, ${verdict}\nof all contexts ${format(together)}, alone ${format(alone)}\n${train} training, ${test} test experiments`; });
      return c.svg;
    }, `RMSE of the model of all contexts, less that of a model that was trained on this context alone: left of 0 the others help. Bars: 95 % intervals of resampled perturbations; neither model is blended with a baseline` +
       `${rows.length < n ? `; ${rows.length} of ${n} contexts` : ""}. As tessera evaluate --transfer found it (transfer/transfer.tsv of the run).`);
  } else add(node, "p", { class: "missing" }, "In no context was there anything to compare.");
  numbers(node, "transfer", ["context", "train_experiments", "test_experiments", "by_context_mean", "rmse_all", "rmse_alone", "difference", "low", "high", "verdict"], all);
}

// ---- measured and predicted ----
function drawValues() {
  const node = section("values", "Predicted against measured"), v = data.values;
  if (missing(node, v)) return;
  const step = (v.high - v.low) / v.bins || 1, most = Math.max(...v.cells.map(cell => cell[2])), shade = n => 0.12 + 0.88 * Math.log1p(n) / Math.log1p(most);
  key(node, [1, Math.round(Math.sqrt(most)), most].filter((n, i, all) => all.indexOf(n) === i).map(n => [`${n} value${n > 1 ? "s" : ""}`, `${COLOURS[0]};fill-opacity:${shade(n).toFixed(3)}`, 2]));
  figure(node, "figure-values", width => {
    const size = Math.min(width, 520), range = [v.low, v.high > v.low ? v.high : v.low + 1];
    const c = chart({ width: size, height: size * 0.92, x: range, y: range, xLabel: "predicted (store's units)", yLabel: "measured (store's units)",
      title: "Measured against predicted values, counted on a grid" });
    const marks = v.cells.map(([m, p, n]) => add(c.svg, "rect", { class: "mark", x: c.X(v.low + p * step), y: c.Y(v.low + (m + 1) * step), width: c.X(v.low + step) - c.X(v.low) + 0.3,
      height: c.Y(v.low) - c.Y(v.low + step) + 0.3, style: `fill:${COLOURS[0]};fill-opacity:${shade(n).toFixed(3)}` }));
    add(c.svg, "path", { class: "guide", d: path(range.map(x => [c.X(x), c.Y(x)])) });
    speak(c.svg, marks, i => `${v.cells[i][2]} values\nmeasured ${format(v.low + v.cells[i][0] * step, 3)} to ${format(v.low + (v.cells[i][0] + 1) * step, 3)}\n` +
      `predicted ${format(v.low + v.cells[i][1] * step, 3)} to ${format(v.low + (v.cells[i][1] + 1) * step, 3)}`);
    c.svg.style.maxWidth = `${size}px`;
    return c.svg;
  }, `Each field counts ${kind} values, ${v.values} in all of ${v.experiments} experiments${scores && v.values < scores.all.observations ? ` (of ${scores.all.observations}: every so many experiments of a context are taken)` : ""}${v.not_finite ? ` (left out: ${v.not_finite} whose prediction is no finite number)` : ""}; the darkest holds ${most}, shades are logarithmic. Dashed: predicted is measured.`);
  numbers(node, "predicted_and_measured", ["measured_from", "measured_to", "predicted_from", "predicted_to", "values"],
    v.cells.map(([m, p, n]) => [v.low + m * step, v.low + (m + 1) * step, v.low + p * step, v.low + (p + 1) * step, n]));
}

// ---- deviations ----
function drawCoverage() {
  const node = section("coverage", "Is the members' deviation right?"), v = data.coverage;
  if (missing(node, v)) return;
  const lines = [["members as they are", v.raw, COLOURS[1]]].concat(v.calibrated ? [["calibrated", v.calibrated, COLOURS[0]]] : []);
  key(node, lines.map(([text, , colour]) => [text, colour, "line"]).concat([["as it should be", null, "dash"]]));
  const percent = t => `${Math.round(100 * t)} %`;
  figure(node, "figure-coverage", width => {
    const size = Math.min(width, 460);
    const c = chart({ width: size, height: size * 0.85, x: [0, 1], y: [0, 1], xTick: percent, yTick: percent, xLabel: "share that an interval should hold",
      yLabel: "share that it holds", title: "Coverage of intervals from the members' deviation" });
    add(c.svg, "path", { class: "guide", d: path([[c.X(0), c.Y(0)], [c.X(1), c.Y(1)]]) });
    const marks = [], said = [];
    lines.forEach(([text, list, colour], kind) => {
      add(c.svg, "path", { class: "line", style: `stroke:${colour}`, d: path(list.map((y, i) => [c.X(v.level[i]), c.Y(y)])) });
      list.forEach((y, i) => {
        marks.push(add(c.svg, "path", { class: "mark", d: shape(kind * 2, c.X(v.level[i]), c.Y(y), 3), style: `fill:${colour}` }));
        said.push(`${text}: intervals for ${percent(v.level[i])} hold ${(100 * y).toFixed(1)} %`);
      });
    });
    speak(c.svg, marks, i => said[i]);
    c.svg.style.maxWidth = `${size}px`;
    return c.svg;
  }, `How many of the ${kind} values lie within the intervals that the deviation of the members gives, normal, around the prediction. ` +
     (v.calibrated ? "Calibrated: scaled, with the noise of measuring, as fitted to validation values at the end of the training." + (split === "val" ? " These are the very values that it was fitted to: that it is right on them says nothing." : "")
       : "They are not calibrated: " + ((v.scores && v.scores.reasons && v.scores.reasons.calibrated) || "there is no calibration") + "."));
  numbers(node, "coverage", ["level", "raw", ...(v.calibrated ? ["calibrated"] : [])], v.level.map((l, i) => [l, v.raw[i], ...(v.calibrated ? [v.calibrated[i]] : [])]));
}

// ---- the map ----
function drawMap() {
  const node = section("map", "Map of perturbations"), v = data.map;
  if (missing(node, v)) return;
  const full = { x: extent(v.x), y: extent(v.y) }, n = v.perturbation.length;
  let view = { x: [...full.x], y: [...full.y] }, words = "", found = [], joined = true, marks = [], c, go;
  const hidden = new Set(), least = 20e-4 * Math.max(...[...v.x, ...v.y].map(Math.abs), 1e-30); // coordinates are rounded to 1/10 000
  const tools = add(node, "div", { class: "tools", role: "group", "aria-label": "Map" });
  const search = add(null, "input", { type: "search", id: "map-search", autocomplete: "off", size: 22, oninput: () => { words = search.value.trim().toLowerCase(); find(); shown.again(); } });
  add(tools, "label", {}, "Search ", search);
  const said = add(tools, "span", { role: "status", id: "map-found" });
  const zoom = (f, at) => {
    for (const a of ["x", "y"]) {
      const middle = at ? at[a] : (view[a][0] + view[a][1]) / 2, size = Math.min(Math.max(least, (view[a][1] - view[a][0]) * f), full[a][1] - full[a][0]);
      const share = (middle - view[a][0]) / (view[a][1] - view[a][0]), low = Math.max(full[a][0], Math.min(full[a][1] - size, middle - share * size));
      view[a] = [low, low + size];
    }
    shown.again();
  };
  add(tools, "button", { type: "button", id: "map-in", "aria-label": "Zoom in", onclick: () => zoom(0.6, middleOfFound()) }, "+");
  add(tools, "button", { type: "button", id: "map-out", "aria-label": "Zoom out", onclick: () => zoom(1 / 0.6) }, "−");
  add(tools, "button", { type: "button", id: "map-all", onclick: () => { view = { x: [...full.x], y: [...full.y] }; shown.again(); } }, "Whole map");
  if (v.pairs.length) add(tools, "label", {}, add(null, "input", { type: "checkbox", checked: true, onchange: event => { joined = event.target.checked; shown.again(); } }), " join pairs");
  const legend = add(node, "div", { class: "tools types", role: "group", "aria-label": "Types" });
  v.types.forEach((type, t) => {
    const text = add(legend, "label");
    add(text, "input", { type: "checkbox", checked: true, onchange: event => { if (event.target.checked) hidden.delete(t); else hidden.add(t); shown.again(); } });
    const svg = add(text, "svg", { viewBox: "0 0 16 12", width: 16, height: 12, "aria-hidden": "true" });
    add(svg, "path", { d: shape(t, 8, 6, 4), style: `fill:${COLOURS[t % 8]}` });
    text.append(`${type} (${v.type.filter(x => x === t).length})`);
  });
  function find() {
    found = words ? v.perturbation.map((_, i) => i).filter(i => v.perturbation[i].toLowerCase().includes(words)) : [];
    said.textContent = words ? `${found.length} found${found.length ? `: ${found.slice(0, 3).map(i => v.perturbation[i]).join(", ")}${found.length > 3 ? " …" : ""}` : ""}` : "";
  }
  const middleOfFound = () => (found.length ? { x: v.x[found[0]], y: v.y[found[0]] } : null);
  const partners = new Map();
  v.pairs.forEach(([a, b]) => { partners.set(a, [...(partners.get(a) || []), b]); partners.set(b, [...(partners.get(b) || []), a]); });
  const share = a => `principal component ${a + 1} (${(100 * v.variance_share[a]).toFixed(1)} % of the variance)`;
  const shown = figure(node, "figure-map", width => {
    c = chart({ width, height: Math.max(320, Math.min(560, width * 0.68)), x: view.x, y: view.y, xLabel: share(0), yLabel: share(1), title: `Map of ${n} perturbations` });
    const clip = add(add(c.svg, "defs"), "clipPath", { id: "map-clip" });
    add(clip, "rect", { x: c.left, y: c.top, width: c.w - c.left - c.right, height: c.h - c.top - c.bottom });
    const inside = add(c.svg, "g", { "clip-path": "url(#map-clip)" }), visible = i => !hidden.has(v.type[i]);
    if (joined && v.pairs.length) {
      const lines = add(inside, "g", { class: "pairs" });
      for (const [a, b] of v.pairs) if (visible(a) && visible(b)) add(lines, "line", { x1: c.X(v.x[a]), y1: c.Y(v.y[a]), x2: c.X(v.x[b]), y2: c.Y(v.y[b]) });
    }
    const set = new Set(found), order = v.perturbation.map((_, i) => i).filter(visible).sort((a, b) => set.has(a) - set.has(b)), r = n > 2000 ? 2.4 : 3.6, out = [];
    marks = order.map(i => {
      const mark = add(inside, "path", { class: `mark${set.has(i) ? " found" : words ? " faint" : ""}`, d: shape(v.type[i], c.X(v.x[i]), c.Y(v.y[i]), set.has(i) ? r + 2 : r),
        style: `fill:${COLOURS[v.type[i] % 8]}` });
      out.push(i);
      return mark;
    });
    label_found(inside, found.filter(visible));
    go = speak(c.svg, marks, k => `${v.perturbation[out[k]]}\n${v.types[v.type[out[k]]]}` + (partners.has(out[k]) ? `\npaired with ${partners.get(out[k]).slice(0, 5).map(i => v.perturbation[i]).join(", ")}` : ""));
    drag(c.svg);
    return c.svg;
  }, `Effective vectors of perturbations, the members in one space, along their two leading principal components. ${n < v.trained ? `Shown are ${n} of ${v.trained} trained perturbations: every so many in the order of their names, and all that are in pairs.` : `All ${n} trained perturbations are shown.`}` +
     (v.pairs.length ? ` Lines join ${v.pairs.length} of ${v.pairs_in_all} pairs${v.pairs_left_out ? `; ${v.pairs_left_out} more are of symbols without training data` : ""}.` : " With --pairs FILE, pairs are joined.") +
     " Wheel with Ctrl, buttons or + and − zoom, dragging moves; arrow keys go from point to point.");
  // Names of what was found, as far as they do not cover each other.
  function label_found(inside, list) {
    const taken = [];
    for (const i of list.slice(0, 40)) {
      const x = c.X(v.x[i]), y = c.Y(v.y[i]), w = widthOf(v.perturbation[i]), right = x + w + 10 < c.w - c.right;
      const box = [right ? x + 8 : x - 8 - w, y - 8, right ? x + 8 + w : x - 8, y + 6];
      if (x < c.left || x > c.w - c.right || y < c.top || y > c.h - c.bottom || taken.some(t => t[0] < box[2] && box[0] < t[2] && t[1] < box[3] && box[1] < t[3])) continue;
      taken.push(box);
      add(inside, "text", { x: right ? x + 8 : x - 8, y: y + 4, "text-anchor": right ? "start" : "end", style: "paint-order:stroke;stroke:var(--card);stroke-width:3px" }, v.perturbation[i]);
    }
  }
  function drag(svg) {
    const to = event => { const box = svg.getBoundingClientRect(), k = c.w / box.width; return [(event.clientX - box.left) * k, (event.clientY - box.top) * k]; };
    const value = ([x, y]) => ({ x: view.x[0] + (x - c.left) / (c.w - c.left - c.right) * (view.x[1] - view.x[0]), y: view.y[0] + (c.h - c.bottom - y) / (c.h - c.top - c.bottom) * (view.y[1] - view.y[0]) });
    svg.classList.add("map");
    svg.addEventListener("wheel", event => { if (event.ctrlKey) { event.preventDefault(); zoom(event.deltaY < 0 ? 0.8 : 1.25, value(to(event))); } }, { passive: false });
    svg.addEventListener("keydown", event => {
      const f = { "+": 0.7, "=": 0.7, "-": 1 / 0.7 }[event.key];
      if (!f) return;
      event.preventDefault();
      const mark = marks.indexOf(event.target); // the picture is a new one: the same mark keeps the focus
      zoom(f, middleOfFound());
      if (mark >= 0) go(mark);
    });
    svg.addEventListener("pointerdown", event => {
      const from = value(to(event)), start = { x: [...view.x], y: [...view.y] };
      const move = later => {
        const box = svg.getBoundingClientRect(), k = c.w / box.width;
        const by = { x: -(later.clientX - event.clientX) * k / (c.w - c.left - c.right) * (start.x[1] - start.x[0]), y: (later.clientY - event.clientY) * k / (c.h - c.top - c.bottom) * (start.y[1] - start.y[0]) };
        if (Math.hypot(later.clientX - event.clientX, later.clientY - event.clientY) < 4 || !from) return;
        for (const a of ["x", "y"]) {
          const low = Math.max(full[a][0], Math.min(full[a][1] - (start[a][1] - start[a][0]), start[a][0] + by[a]));
          view[a] = [low, low + start[a][1] - start[a][0]];
        }
        shown.again();
      };
      const end = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", end); };
      addEventListener("pointermove", move);
      addEventListener("pointerup", end);
    });
  }
  numbers(node, "map", ["perturbation", "type", "pc1", "pc2"], v.perturbation.map((name, i) => [name, v.types[v.type[i]], v.x[i], v.y[i]]));
}

// ---- a screen ----
function drawScreen() {
  const node = section("screen", "A screen"), v = data.screen;
  if (missing(node, v)) return;
  const r = v.rows, n = r.rank.length, some = list => list.some(x => x !== null);
  const say = i => `${r.rank[i]}. ${r.perturbation[i]}: ${format(r.change[i])}${r.std[i] !== null ? ` ± ${format(r.std[i], 2)}` : ""}` +
    `${r.measured[i] !== null ? `\nmeasured ${format(r.measured[i])}` : ""}${r.trained[i] ? `\ntrained: ${r.trained[i]}` : ""}`;
  add(node, "p", {}, v.command ? `All perturbations by the change that the model predicts of ${v.file}.` : `The rows of ${v.file}.`);
  if (v.command) add(node, "pre", {}, v.command);
  const unit = v.command ? "change (store's units)" : "change, as the file has it";
  key(node, [["predicted change", COLOURS[0]]].concat(some(r.measured) ? [["measured", COLOURS[1], "hollow"]] : []));
  const values = r.change.flatMap((x, i) => [x, r.measured[i], r.std[i] === null ? x : x - r.std[i], r.std[i] === null ? x : x + r.std[i]]).filter(x => x !== null).concat(0);
  figure(node, "figure-waterfall", width => {
    const c = chart({ width, height: 300, x: [0, v.in_all + 1], y: extent(values), xLabel: "rank", yLabel: unit, title: "Waterfall of a screen" });
    const bar = Math.max(1, Math.min(14, (c.w - c.left - c.right) / v.in_all * 0.8)), zero = c.Y(0);
    const marks = r.rank.map((rank, i) => add(c.svg, "rect", { class: "mark", x: c.X(rank) - bar / 2, width: bar, y: Math.min(zero, c.Y(r.change[i])), height: Math.max(0.8, Math.abs(c.Y(r.change[i]) - zero)),
      style: `fill:${COLOURS[0]};fill-opacity:0.6` }));
    r.rank.forEach((rank, i) => { if (r.measured[i] !== null) add(c.svg, "path", { d: shape(0, c.X(rank), c.Y(r.measured[i]), 2), style: `fill:none;stroke:${COLOURS[1]};stroke-width:1.1`, "pointer-events": "none" }); });
    add(c.svg, "line", { class: "axis", x1: c.left, x2: c.w - c.right, y1: zero, y2: zero });
    speak(c.svg, marks, say);
    return c.svg;
  }, `${v.command ? "The whole ranking: predicted change by rank" : `The ${v.in_all} rows of ${v.file}, in its order`}${some(r.measured) ? ", with what was measured where there is a measurement" : ""}. ${n < v.in_all ?
     `Shown are ${n} of ${v.in_all}: the first and last 150, and every so many between.` : `All ${n} are shown.`}`);
  const ends = [...Array(n).keys()].filter(i => i < 15 || i >= n - 15);
  figure(node, "figure-hits", width => {
    const left = Math.min(width * 0.5, Math.max(...ends.map(i => widthOf(r.perturbation[i]))) + 14), gap = ends.length < n ? 1 : 0;
    const c = chart({ width, height: 60 + 19 * (ends.length + gap), left, y: [0, 1], xLabel: unit, title: "Both ends of the screen",
      x: extent(ends.flatMap(i => [r.change[i], r.measured[i], r.std[i] === null ? null : r.change[i] - r.std[i], r.std[i] === null ? null : r.change[i] + r.std[i]]).concat(0)) });
    add(c.svg, "line", { class: "axis", x1: c.X(0), x2: c.X(0), y1: c.top, y2: c.h - c.bottom });
    const marks = ends.map((i, k) => {
      const y = c.top + (k + (gap && k >= 15 ? 1 : 0) + 0.5) * (c.h - c.top - c.bottom) / (ends.length + gap);
      add(c.svg, "text", { x: c.left - 8, y: y + 4, "text-anchor": "end" }, shorten(r.perturbation[i], c.left - 12));
      if (r.std[i] !== null) add(c.svg, "line", { class: "bar", style: `stroke:${COLOURS[0]}`, x1: c.X(r.change[i] - r.std[i]), x2: c.X(r.change[i] + r.std[i]), y1: y, y2: y });
      if (r.measured[i] !== null) add(c.svg, "path", { class: "mark", d: shape(0, c.X(r.measured[i]), y, 4), style: `fill:var(--card);stroke:${COLOURS[1]};stroke-width:1.7` });
      return add(c.svg, "path", { class: "mark", d: shape(0, c.X(r.change[i]), y, 4), style: `fill:${COLOURS[0]}` });
    });
    if (gap) add(c.svg, "text", { class: "soft", x: c.left - 8, y: c.top + 15.5 * (c.h - c.top - c.bottom) / (ends.length + gap) + 4, "text-anchor": "end" }, "⋮");
    speak(c.svg, marks, k => say(ends[k]));
    return c.svg;
  }, `${ends.length < n ? `The first and last 15 of the ${v.in_all} ${v.command ? "perturbations" : "rows"}` : `All ${n} ${v.command ? "perturbations" : "rows"}`}, by name.${some(r.std) ? " Bars: one standard deviation of the members." : ""}`);
  const head = ["rank", "perturbation", "change", "std", "z", "measured", "trained"];
  numbers(node, "screen", head, r.rank.map((_, i) => head.map(name => r[name][i])));
}

// ---- a network ----
function drawNetwork() {
  const node = section("network", "A network"), v = data.network;
  if (missing(node, v)) return;
  const tools = add(node, "div", { class: "tools" });
  let count = Math.min(40, v.edges.length);
  const counts = [10, 20, 40, 80].filter(k => k < v.edges.length).concat(v.edges.length);
  choice(tools, "Edges", counts.map(k => [String(k), String(k)]), String(count), value => { count = Number(value); shown.again(); });
  const hasSign = v.edges.some(e => e[3]);
  const known = (v.gold && v.gold.known) || [], entries = hasSign ? [["activates (+)", COLOURS[0], "line"], ["represses (−)", COLOURS[1], "dash"]] : [];
  if (known.includes(true)) entries.push(["an edge of the known network", "var(--ink)", "hollow"]);
  if (entries.length) key(node, entries);
  const shown = figure(node, "figure-network", width => networkSvg(width, v.edges.slice(0, count), known),
    `The strongest of ${v.in_all} edges of ${v.file}, genes on a circle; an arrow goes from a regulator to its target, wider and darker with its score. ${v.edges.length} edges are in this page.` +
      (known.length ? ` ${known.filter(Boolean).length} of them are edges of ${v.gold.gold} (a ring on the arrow)${known.includes(null) ? `; of ${known.filter(k => k === null).length} it says nothing` : ""}.` : "") +
      (v.without_score ? ` Left out: ${v.without_score} whose score is no finite number.` : ""));
  numbers(node, "network", ["regulator", "target", "score", "sign", ...(known.length ? ["known"] : [])], known.length ? v.edges.map((e, i) => [...e, known[i] === null ? "" : Number(known[i])]) : v.edges);
  add(node, "h3", {}, "How right it is");
  if (missing(node, v.gold)) return;
  const g = v.gold, chance = g.counts.true / g.counts.pairs;
  figure(node, "figure-gold", width => {
    const size = Math.min(width, 460);
    const c = chart({ width: size, height: size * 0.8, x: [0, 1], y: [0, 1.02], xLabel: "recall", yLabel: "precision", title: "Precision and recall of the edges" });
    add(c.svg, "line", { class: "guide", x1: c.X(0), x2: c.X(1), y1: c.Y(chance), y2: c.Y(chance) });
    add(c.svg, "path", { class: "line mark", style: `stroke:${COLOURS[0]}`, d: path(g.curve.map(([x, y]) => [c.X(x), c.Y(y)])) });
    const marks = g.curve.map(([x, y]) => add(c.svg, "path", { class: "mark", d: shape(0, c.X(x), c.Y(y), 2.2), style: `fill:${COLOURS[0]}` }));
    speak(c.svg, marks, i => `recall ${format(g.curve[i][0], 3)}, precision ${format(g.curve[i][1], 3)}`);
    c.svg.style.maxWidth = `${size}px`;
    return c.svg;
  }, `Beside ${g.gold}: average precision ${format(g.aupr)} (chance ${format(chance, 3)}, dashed), AUROC ${format(g.auroc)}, over ${g.counts.pairs} pairs of which ${g.counts.true} are edges. ` +
     "Edges of one score are taken together; steps of recall below 1/400 are left out.");
  numbers(node, "precision_recall", ["recall", "precision"], g.curve);
}

function networkSvg(width, edges, known) {
  const names = [...new Set(edges.flatMap(e => [e[0], e[1]]))].sort(), room = Math.min(width * 0.24, Math.max(...names.map(name => widthOf(name))) + 10);
  const size = Math.min(width, 620), R = Math.max(40, size / 2 - room - 8), middle = size / 2, at = new Map();
  const svg = add(null, "svg", { viewBox: `0 0 ${size} ${size}`, width: size, height: size, role: "group", "aria-label": `The ${edges.length} strongest edges` });
  svg.style.maxWidth = `${size}px`;
  const defs = add(svg, "defs");
  [["plus", COLOURS[0]], ["minus", COLOURS[1]]].forEach(([id, colour]) => add(add(defs, "marker", { id: `arrow-${id}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto" }),
    "path", { d: "M0 0L8 4L0 8Z", style: `fill:${colour}` }));
  names.forEach((name, i) => { const a = 2 * Math.PI * i / names.length - Math.PI / 2; at.set(name, [middle + R * Math.cos(a), middle + R * Math.sin(a), a]); });
  const most = edges[0][2], least = edges[edges.length - 1][2], weight = s => (most > least ? (s - least) / (most - least) : 1);
  const rings = [], marks = edges.map(([from, to, score, sign], i) => {
    const a = at.get(from), b = at.get(to), pull = 0.45, q = [middle + (a[0] + b[0] - 2 * middle) / 2 * pull, middle + (a[1] + b[1] - 2 * middle) / 2 * pull];
    const l = Math.hypot(b[0] - q[0], b[1] - q[1]) || 1, end = [b[0] - (b[0] - q[0]) / l * 6, b[1] - (b[1] - q[1]) / l * 6], minus = sign === "-";
    if (known[i]) rings.push([(a[0] + 2 * q[0] + end[0]) / 4, (a[1] + 2 * q[1] + end[1]) / 4, minus]);
    return add(svg, "path", { class: "mark", d: `M${a[0].toFixed(1)} ${a[1].toFixed(1)}Q${q[0].toFixed(1)} ${q[1].toFixed(1)} ${end[0].toFixed(1)} ${end[1].toFixed(1)}`, "marker-end": `url(#arrow-${minus ? "minus" : "plus"})`,
      style: `fill:none;stroke:${minus ? COLOURS[1] : COLOURS[0]};stroke-width:${(0.9 + 1.8 * weight(score)).toFixed(2)};stroke-opacity:${(0.45 + 0.55 * weight(score)).toFixed(2)}${minus ? ";stroke-dasharray:6 3" : ""}` });
  });
  rings.forEach(([x, y, minus]) => add(svg, "path", { class: "known", d: shape(0, x, y, 3), style: `fill:var(--card);stroke:${minus ? COLOURS[1] : COLOURS[0]};stroke-width:1.4;pointer-events:none` }));
  names.forEach(name => {
    const [x, y, a] = at.get(name), left = Math.cos(a) < -1e-9, degrees = a * 180 / Math.PI + (left ? 180 : 0);
    add(svg, "circle", { cx: x, cy: y, r: 3.4, style: "fill:var(--ink)" });
    add(svg, "text", { transform: `translate(${(middle + (R + 9) * Math.cos(a)).toFixed(1)} ${(middle + (R + 9) * Math.sin(a)).toFixed(1)}) rotate(${degrees.toFixed(1)})`, "text-anchor": left ? "end" : "start", y: 4,
      style: `font-size:${Math.max(7, Math.min(12, 2 * Math.PI * R / names.length * 0.95)).toFixed(1)}px` }, shorten(name, room + 6));
  });
  speak(svg, marks, i => `${edges[i][0]} ${edges[i][3] === "-" ? "represses" : edges[i][3] === "+" ? "activates" : "to"} ${edges[i][1]}\nscore ${format(edges[i][2])}, ${i + 1}. of ${edges.length}${known[i] === true ? "\nin the known network" : known[i] === false ? "\nnot in the known network" : ""}`);
  return svg;
}

// ---- all of it ----
function lead() {
  const name = data.run.replace(/\/+$/, "").split("/").pop();
  document.title = `${name} · Tessera report`;
  document.getElementById("title").textContent = name;
  const text = document.getElementById("lead");
  if (!scores) { text.textContent = `A model of ${data.trained.perturbations} perturbations, ${data.trained.readouts} readouts and ${data.trained.contexts} contexts.`; return; }
  const C = scores.methods.length - 1, value = m => scores.all.values[m][0];
  const best = scores.methods.slice(1, C).map((_, b) => b + 1).filter(b => value(b) !== null).sort((a, b) => value(a) - value(b))[0];
  text.textContent = `On ${scores.all.experiments} ${kind} experiments the ${scores.blend ? "blended model" : "model"}'s root mean squared error is ${format(value(0))}` +
    (best ? `; the best baseline's, ${methodName(scores.methods[best])}, ${format(value(best))}` : "") + (value(C) !== null && scores.all.ceiling_experiments === scores.all.experiments ? `; a perfect model's would be ${format(value(C))}` : "") + "." + (WARNING ? ` ${WARNING}` : "");
}

// A section that cannot be drawn says so, and the others are drawn.
for (const draw of [lead, drawTrained, drawCurve, drawScores, drawTransfer, drawValues, drawCoverage, drawMap, drawScreen, drawNetwork, drawCommands]) {
  try { draw(); } catch (problem) {
    add([...main.querySelectorAll("section")].pop() || main, "p", { class: "missing" }, `This could not be drawn (${problem.message}): the numbers are in the page's source, as JSON.`);
  }
}
document.getElementById("foot").textContent = `Made by ${data.versions[0]}. The page needs no network; its numbers are inside it.`;
new ResizeObserver(() => requestAnimationFrame(() => redraw.forEach(again => again(false)))).observe(main);
