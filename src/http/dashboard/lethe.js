"use strict";
// The first page. Runs are drawn from their event streams: every epoch appends one point to its curve,
// nothing is drawn again. Which runs are shown stands in the address (#run=ID&run=ID), so that a reload,
// a bookmark or a second tab shows the same picture.

const $ = (id) => document.getElementById(id);
const percent = (x) => (x == null ? "–" : `${(100 * x).toFixed(2)} %`);
const duration = (s) => (s == null ? "–" : s < 90 ? `${Math.round(s)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`);
const finished = (status) => ["succeeded", "failed", "canceled"].includes(status);

/** Makes an element: attributes, then children; strings stay text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

function makeSvg(tag, attributes = {}, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text != null) element.textContent = text;
  return element;
}

// ---------------------------------------------------------------- the server

/** A failure in words a person can act on. */
class Problem extends Error {}

async function ask(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new Problem("The server does not answer. Is it still running?");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  const lines = [answer?.detail ?? answer?.title ?? `The server answered ${response.status}.`];
  for (const error of answer?.errors ?? []) if (!lines[0].includes(error.detail)) lines.push(`• ${error.pointer.replace(/^\//, "").replaceAll("/", " → ")}: ${error.detail}`);
  throw new Problem(lines.join("\n"));
}

const say = (text) => { $("notice").textContent = text; $("notice").hidden = !text; };

/** Runs an action of the user's; what goes wrong is said on the page. */
async function attempt(action) {
  try {
    say("");
    await action();
  } catch (error) {
    if (!(error instanceof Problem)) console.error(error);
    say(error instanceof Problem ? error.message : `Something went wrong in this page: ${error.message}`);
    $("notice").scrollIntoView({ block: "nearest" });
  }
}

// ---------------------------------------------------------------- the chart

// the drawing's own units; fewer on a phone, so that its text stays readable
const WIDE = matchMedia("(min-width: 34rem)").matches ? 800 : 420;
const BOX = { left: 54, right: WIDE - 10, top: 16, bottom: 300, width: WIDE, height: 340 };
/** Distances between grid lines, in percent: five of them reach from the lowest line to 100 %. */
const STEPS = [1, 2, 4, 5, 8, 10, 15, 20];

/** Curves over epochs. Points are appended; they move only when an axis must grow. */
const chart = {
  curves: [],
  epochs: 10,
  low: 0,

  start() {
    this.svg = makeSvg("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", tabindex: "0",
      "aria-label": "Accuracy over epochs; the numbers are in the text below" });
    this.axes = makeSvg("g");
    this.cursor = makeSvg("line", { class: "cursor", y1: BOX.top, y2: BOX.bottom, visibility: "hidden" });
    this.lines = makeSvg("g");
    this.svg.append(this.axes, this.cursor, this.lines);
    $("chart").append(this.svg);
    this.svg.addEventListener("pointermove", (event) => {
      const box = this.svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * BOX.width;
      this.read(Math.round(1 + ((x - BOX.left) / (BOX.right - BOX.left)) * (this.epochs - 1)));
    });
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.read((this.at ?? (step > 0 ? 0 : this.epochs + 1)) + step);
    });
    this.layout();
  },

  x: (epoch) => BOX.left + ((epoch - 1) / Math.max(1, chart.epochs - 1)) * (BOX.right - BOX.left),
  y: (value) => BOX.bottom - ((value - chart.low) / (1 - chart.low)) * (BOX.bottom - BOX.top),

  /** A new curve; `tone` is a colour class, `printed` marks what the reference program would print. */
  add(name, tone, printed) {
    const group = makeSvg("g", { class: tone });
    const line = makeSvg("polyline", printed ? { class: "printed" } : {});
    const end = makeSvg("text", { class: "end", "text-anchor": "end" });
    group.append(line, end);
    this.lines.append(group);
    const curve = { name, printed, group, line, end, points: [] };
    this.curves.push(curve);
    this.toggle();
    return curve;
  },

  append(curve, epoch, value) {
    if (typeof value !== "number") return;
    const point = this.svg.createSVGPoint();
    const dot = makeSvg("circle", { r: curve.printed ? 0 : this.epochs > 60 ? 2 : 4 });
    curve.points.push({ epoch, value, point: curve.line.points.appendItem(point) ?? point, dot });
    curve.group.append(dot);
    if (epoch > this.epochs || (this.fits && value < this.low)) this.layout();
    else this.place(curve, curve.points.length - 1);
  },

  place(curve, i) {
    const { epoch, value, dot } = curve.points[i];
    const [x, y] = [this.x(epoch), this.y(value)];
    const point = curve.line.points.getItem(i);
    [point.x, point.y] = [x, y];
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", y);
    if (i === curve.points.length - 1 && !curve.printed) {
      curve.end.textContent = `${curve.name} ${percent(value)}`;
      // above a rising curve and below a falling one there is no line to cover
      const falls = i > 0 && value < curve.points[i - 1].value;
      const below = y < BOX.top + 26 || (falls && y < BOX.bottom - 30);
      curve.end.setAttribute("x", Math.max(x, BOX.left + 120));
      curve.label = below ? y + 22 : y - 10;
      this.label();
    }
  },

  /** Sets the curves' names at their ends, from the top down, none on another. */
  label() {
    let free = -Infinity;
    const named = this.curves.filter((curve) => curve.label !== undefined);
    for (const curve of named.sort((a, b) => a.label - b.label)) {
      free = Math.max(curve.label, free + 17);
      curve.end.setAttribute("y", free);
    }
  },

  /** Fits the axes to what there is, and moves the points that already stand. */
  layout() {
    const points = this.curves.flatMap((curve) => (curve.printed && !$("printed").checked ? [] : curve.points));
    this.fits = $("fit").checked && points.length > 0;
    this.epochs = Math.max(2, this.asked ?? 2, ...points.map((p) => p.epoch));
    const lowest = this.fits ? Math.min(...points.map((p) => p.value)) : 0;
    const step = (STEPS.find((percents) => 1 - percents / 20 <= lowest) ?? 20) / 100;
    this.low = 1 - 5 * step;
    this.axes.replaceChildren();
    for (let i = 0; i <= 5; i += 1) {
      const value = this.low + i * step;
      const y = this.y(value);
      this.axes.append(makeSvg("line", { class: "grid", x1: BOX.left, x2: BOX.right, y1: y, y2: y }),
        makeSvg("text", { x: BOX.left - 8, y: y + 4, "text-anchor": "end" }, `${+(100 * value).toFixed(1)} %`));
    }
    this.axes.append(makeSvg("line", { class: "axis", x1: BOX.left, x2: BOX.right, y1: BOX.bottom, y2: BOX.bottom }));
    const every = Math.ceil(this.epochs / (BOX.width / 65));
    for (let epoch = 1; epoch <= this.epochs; epoch += every) {
      this.axes.append(makeSvg("text", { x: this.x(epoch), y: BOX.bottom + 18, "text-anchor": "middle" }, epoch));
    }
    this.axes.append(makeSvg("text", { x: (BOX.left + BOX.right) / 2, y: BOX.bottom + 36, "text-anchor": "middle" }, "epoch"));
    for (const curve of this.curves) curve.points.forEach((_, i) => this.place(curve, i));
  },

  toggle() {
    for (const curve of this.curves) if (curve.printed) curve.group.setAttribute("visibility", $("printed").checked ? "visible" : "hidden");
  },

  read(epoch) {
    this.at = Math.min(Math.max(1, epoch), this.epochs);
    const shown = this.curves.filter((curve) => !curve.printed || $("printed").checked);
    const values = shown.map((curve) => [curve, curve.points.find((p) => p.epoch === this.at)]).filter(([, p]) => p);
    for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, this.x(this.at));
    this.cursor.setAttribute("visibility", values.length ? "visible" : "hidden");
    if (!values.length) return;
    const parts = values.map(([curve, p]) => `${curve.name}${curve.printed ? " prints" : ""} ${percent(p.value)}`);
    $("readout").textContent = `epoch ${this.at}: ${parts.join(" · ")}`;
  },

  clear(epochs) {
    this.curves = [];
    this.asked = epochs;
    this.at = undefined;
    this.lines.replaceChildren();
    this.cursor.setAttribute("visibility", "hidden");
    this.layout();
  },
};

// ---------------------------------------------------------------- a run on the page

/** What a run does, in a word or two. */
function nameOf(run) {
  switch (run.kind) {
    case "train": return run.mode;
    case "unlearn": return `forgetting (${run.method})`;
    case "diagnose": return `diagnosis of ${run.mode}`;
    default: return run.kind;
  }
}

/** One run: its curves, its card, its event stream. */
class Shown {
  constructor(run) {
    this.run = run;
    this.seq = 0;
    this.name = nameOf(run);
    this.tone = ["nn", "debug"].includes(run.mode) ? run.mode : "other";
    // which member of an epoch event feeds which curve
    this.curves = run.kind === "unlearn"
      ? [["forget_accuracy", chart.add("forgotten rows", "nn")], ["retain_accuracy", chart.add("kept rows", "debug")],
        ["test_accuracy", chart.add("test images", "other")]]
      : run.kind !== "train" ? []
      : [["test_accuracy", chart.add(this.name, this.tone)], ["reported_accuracy", chart.add(this.name, this.tone, true)]];
    this.card();
    this.status(run);
    this.listen();
  }

  card() {
    this.badge = make("b");
    this.epoch = make("p", { class: "numbers" });
    this.batch = make("progress", { max: "1", value: "0", "aria-label": `${this.name}: this epoch's mini-batches` });
    this.detail = make("p", { class: "hint numbers" });
    this.alerts = make("ul", { class: "alerts", "aria-label": `${this.name}: alerts` });
    this.stop = make("button", { type: "button" }, "Cancel");
    this.stop.addEventListener("click", () => attempt(async () => {
      this.stop.disabled = true;
      await ask("POST", `/runs/${this.run.id}/cancel`);
    }));
    const picture = make("a", { href: `/runs/${this.run.id}/chart.svg` }, "picture");
    const raw = make("a", { href: `/runs/${this.run.id}` }, "details");
    this.element = make("article", { class: `card ${this.tone}` },
      make("h3", {}, this.name, this.badge), this.epoch, this.batch, this.detail, this.alerts,
      make("div", { class: "actions" }, this.stop, picture, raw));
    $("runs").append(this.element);
  }

  /** Takes over a run object or a `status` or `done` event, which carry the same members. */
  status(data) {
    Object.assign(this.run, data);
    const { status, error, version } = this.run;
    this.badge.textContent = status;
    this.stop.hidden = finished(status);
    this.stop.disabled = status === "canceling";
    const waiting = { queued: "waiting for a free training thread", paused: `POST /runs/${this.run.id}/resume goes on` };
    if (!finished(status)) this.detail.textContent = waiting[status] ?? "";
    if (finished(status)) {
      this.batch.hidden = true;
      this.epoch.textContent = this.last ?? "";
      this.detail.textContent = version ? `published as ${version.model}:${version.version}` : "";
      if (error) { this.detail.textContent = error.message; this.detail.classList.add("problem"); }
      if (this.run.kind === "diagnose" && status === "succeeded") this.showFinding();
    }
  }

  showFinding() {
    attempt(async () => { this.detail.textContent = (await ask("GET", `/runs/${this.run.id}/report`)).summary; });
  }

  listen() {
    this.source = new EventSource(`/runs/${this.run.id}/events?after=${this.seq}`);
    const on = (name, act) => this.source.addEventListener(name, (event) => {
      const data = JSON.parse(event.data);
      // numbered events may come again after a reconnection
      if (data.seq !== undefined && event.lastEventId) {
        if (data.seq <= this.seq) return;
        this.seq = data.seq;
      }
      act(data);
    });
    on("status", (data) => { this.status(data); refreshSoon(); });
    on("snapshot", (data) => this.status(data.run ?? data));
    on("epoch", (data) => this.drawEpoch(data));
    on("batch", (data) => {
      this.batch.value = data.batch / data.batches;
      this.detail.textContent = `mini-batch ${data.batch} of ${data.batches} · running loss ${data.loss?.toFixed(3) ?? "–"}`;
    });
    on("alert", (data) => {
      const when = data.epoch === 0 ? "before the first epoch" : `epoch ${data.epoch}`;
      const text = `${data.code.replaceAll("_", " ")}, ${when}: ${data.detail}`;
      this.alerts.append(make("li", {}, text));
      $("live").textContent = `${this.name}: ${text}`;
    });
    on("phase", (data) => { this.detail.textContent = data.detail ?? data.phase; });
    on("done", (data) => {
      this.source.close();
      this.status(data);
      $("live").textContent = `${this.name} ${data.status}`;
      refreshSoon();
    });
    // EventSource reconnects by itself, except after an answer that is not a stream (a restarting proxy)
    this.source.onerror = () => {
      if (!finished(this.run.status)) this.detail.textContent = "connection lost; trying again";
      if (this.source.readyState !== EventSource.CLOSED || finished(this.run.status) || this.gone) return;
      setTimeout(() => { if (!this.gone) this.listen(); }, 3000);
    };
  }

  drawEpoch(data) {
    for (const [field, curve] of this.curves) chart.append(curve, data.epoch, data[field]);
    this.last = `epoch ${data.epoch} of ${data.epochs} · ${percent(data.test_accuracy)} on test images`;
    this.epoch.textContent = this.last + (data.eta_s ? ` · about ${duration(data.eta_s)} left` : "");
    $("live").textContent = `${this.name}, epoch ${data.epoch}: ${percent(data.test_accuracy)}`;
  }

  close() {
    this.gone = true;
    this.source.close();
    this.element.remove();
  }
}

let shown = [];

function show(runs) {
  for (const old of shown) old.close();
  chart.clear(Math.max(...runs.map((run) => run.progress?.epochs ?? 1)));
  shown = runs.map((run) => new Shown(run));
  history.replaceState(null, "", `#${runs.map((run) => `run=${run.id}`).join("&")}`);
  const [first, second] = runs;
  const forgets = runs.some((run) => run.kind === "unlearn");
  $("chart-title").textContent = forgets ? "Accuracy while forgetting" : "Accuracy on images never seen in training";
  $("picture").href = `/runs/${first.id}/chart.svg${second ? `?compare=${second.id}` : ""}`;
  $("picture").hidden = false;
}

async function showFromAddress() {
  const ids = new URLSearchParams(location.hash.slice(1)).getAll("run").slice(0, 4);
  if (ids.length) show(await Promise.all(ids.map((id) => ask("GET", `/runs/${encodeURIComponent(id)}`))));
}

// ---------------------------------------------------------------- the start form

const FAULTS = {
  misaligned_labels: "every image of a mini-batch but the first gets a neighbour's label",
  no_shuffle: "rows always come in file order",
  output_relu: "a ReLU clips the output before the softmax",
  doubled_hidden_gradient: "the hidden layer's gradient is counted twice",
  per_sample_momentum: "momentum decays once a sample, not once a mini-batch",
};

function fillFaults(modes) {
  for (const box of document.querySelectorAll(".faults")) {
    const mode = modes.find((candidate) => candidate.mode === box.dataset.mode);
    const faults = mode?.faults ?? {};
    box.replaceChildren(...Object.entries(faults).map(([name, fault]) => make("label", {},
      make("input", { type: "checkbox", name, checked: fault }),
      name.replaceAll("_", " "),
      make("small", {}, FAULTS[name] ?? ""))));
  }
}

let datasets = [];
function describeDataset() {
  const dataset = datasets.find((candidate) => candidate.name === $("dataset").value);
  $("dataset-about").textContent = dataset?.description ?? "";
}

function order(mode) {
  const faults = {};
  for (const box of document.querySelectorAll(`.faults[data-mode=${mode}] input`)) faults[box.name] = box.checked;
  return {
    mode,
    dataset: $("dataset").value,
    model: `${$("dataset").value}-${mode}`,
    seed: $("seed").valueAsNumber,
    hyperparameters: { epochs: $("epochs").valueAsNumber },
    faults,
  };
}

async function start(event) {
  event.preventDefault();
  const buttons = $("start").querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  await attempt(async () => {
    const runs = [];
    for (const mode of event.submitter?.value.split(",") ?? ["nn", "debug"]) runs.push(await ask("POST", "/runs", order(mode)));
    show(runs);
    $("chart").scrollIntoView({ behavior: "smooth", block: "nearest" });
  });
  for (const button of buttons) button.disabled = false;
}

// ---------------------------------------------------------------- lists and the question

let due;
/** Brings the lists up to date shortly: many events at once cause one request. */
function refreshSoon() {
  clearTimeout(due);
  due = setTimeout(() => Promise.all([refreshRuns(), refreshModels()]).catch((error) => console.warn(error)), 300);
}

async function refreshRuns() {
  const { data } = await ask("GET", "/runs?limit=10");
  $("none").hidden = data.length > 0;
  $("recent").replaceChildren(...data.map((run) => {
    const look = make("button", { type: "button" }, "show");
    look.addEventListener("click", () => attempt(async () => show([await ask("GET", `/runs/${run.id}`)])));
    const best = run.best ? `${percent(run.best.value)} (epoch ${run.best.epoch})` : "–";
    return make("tr", {},
      make("td", {}, new Date(run.created_at).toLocaleTimeString()), make("td", {}, nameOf(run)),
      make("td", {}, run.version ? `${run.version.model}:${run.version.version}` : run.model), make("td", {}, run.dataset?.name ?? ""),
      make("td", {}, run.status), make("td", { class: "numbers" }, best), make("td", {}, look));
  }));
}

let models = [];
async function refreshModels() {
  const { data } = await ask("GET", "/models?limit=100");
  models = data.filter((model) => model.latest);
  const before = $("model").value;
  $("model").replaceChildren(...models.map((model) => make("option", { value: model.name }, `${model.name}:${model.latest.version}`)));
  if (models.some((model) => model.name === before)) $("model").value = before;
  const none = models.length === 0;
  for (const field of $("ask").elements) field.disabled = none;
  if (none) $("verdict").textContent = "No model yet: train one above.";
  else if ($("verdict").textContent.startsWith("No model")) $("verdict").textContent = "";
}

/** Draws grey bytes, one canvas pixel each; the style sheet enlarges them. */
function drawDigit(values) {
  const side = Math.round(Math.sqrt(values.length));
  const canvas = $("digit");
  [canvas.width, canvas.height] = [side, side];
  const image = new ImageData(side, side);
  values.forEach((grey, i) => image.data.set([grey, grey, grey, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.hidden = false;
}

async function predict(event) {
  event?.preventDefault();
  await attempt(async () => {
    const model = models.find((candidate) => candidate.name === $("model").value);
    // of an imported model nobody knows the data: the one chosen above is as good as any
    const dataset = model.latest.dataset?.name ?? $("dataset").value;
    const row = await ask("GET", `/datasets/${dataset}/rows/${$("row").valueAsNumber}?split=test`);
    const answer = await ask("POST", `/models/${encodeURIComponent(model.name)}/predict`, { inputs: [row.features] });
    drawDigit(row.features);
    const { label, confidence, probabilities } = answer.predictions[0];
    const right = label === row.label ? "right" : `wrong, it is ${row.label}`;
    $("verdict").textContent = `${answer.model.name}:${answer.model.version} says ${label}, ${percent(confidence)} sure: ${right}.`;
    $("bars").replaceChildren(...probabilities.flatMap((p, digit) => [
      make("span", {}, String(digit)),
      make("meter", { min: "0", max: "1", value: String(p), "aria-label": `digit ${digit}` }),
      make("span", { class: "numbers" }, `${(100 * p).toFixed(1)} %`),
    ]));
  });
}

// ---------------------------------------------------------------- begin

addEventListener("DOMContentLoaded", () => attempt(async () => {
  chart.start();
  $("start").addEventListener("submit", start);
  $("ask").addEventListener("submit", predict);
  $("any").addEventListener("click", () => { $("row").value = Math.floor(Math.random() * 1000); predict(); });
  $("dataset").addEventListener("change", describeDataset);
  $("refresh").addEventListener("click", () => attempt(refreshRuns));
  $("printed").addEventListener("change", () => { chart.toggle(); chart.layout(); });
  $("fit").addEventListener("change", () => chart.layout());
  const [modes, sets] = await Promise.all([ask("GET", "/modes"), ask("GET", "/datasets")]);
  datasets = sets.data;
  $("dataset").replaceChildren(...datasets.map((set) => make("option", { value: set.name }, set.name)));
  describeDataset();
  fillFaults(modes.data);
  await Promise.all([refreshRuns(), refreshModels(), showFromAddress()]);
}));
