// The form of a new training, made from the contracts of the model types.
import { errorPanel } from "../shell.js";
import { html, live, nothing } from "../lib.js";
import { BASE, parameters, setParameters } from "../address.js";
import { curl, option } from "../command.js";
import { View, mount } from "../element.js";
import { all, change, get, Problem } from "../api.js";
import { Estimate } from "../estimate.js";
import { bounds, core, nullable, parse, same, shown } from "../form-schema.js";
import { usualDataset } from "../dataset-words.js";
import { titleOf } from "../format.js";

const OPTION = "hp."; // before the name of a changed hyperparameter in the page's address
const FIELDS = ["dataset", "preset", "name", "seed", "priority", "init_from"];

class NewJob extends View {
  types = null;
  request = { model_type: "", dataset: "", preset: "fast", name: "", seed: "", priority: "normal", init_from: "" };
  changed = {}; // hyperparameters that differ from the preset
  texts = {}; // what was typed into a field that does not parse
  errors = {}; // of what was typed, by pointer
  before = null; // the job that this one starts from
  copied = {}; // its hyperparameters that differ from its preset
  usual = {}; // fields as the page opens without parameters
  estimate = new Estimate(() => this.update());
  failure = null;
  sending = false;

  async start() {
    try {
      const [types, datasets, models] = await Promise.all([get("/v1/model-types"), all("/v1/datasets"), all("/v1/models?limit=100", 500)]);
      Object.assign(this, { types: types.data, datasets, models });
      const query = parameters();
      const before = query.get("from") ?? query.get("continue");
      if (before) await this.copy(before, query.has("continue"));
      else this.take(query.get("type"));
      this.usual = { ...this.request };
      this.restore(query);
    } catch (error) {
      this.failure = error;
    }
    this.altered();
  }

  /** Start from the settings of a job, or with `further` from its weights too. */
  async copy(id, further) {
    const job = await get(`/v1/training-jobs/${id}`);
    this.before = job;
    Object.assign(this.request, { model_type: job.model_type, dataset: job.dataset, preset: job.preset, name: job.name ?? "", init_from: job.init_from ?? "" });
    const preset = this.preset();
    this.changed = Object.fromEntries(Object.entries(job.hyperparameters).filter(([name, value]) => !same(value, preset[name])));
    this.copied = this.changed;
    if (!further) return;
    this.request.init_from = job.model ?? (await get(`/v1/training-jobs/${id}/checkpoints`)).data[0]?.id ?? "";
    if (!this.request.init_from) this.failure = new Error("This job has no checkpoint yet to continue from. Without one, training starts with new weights.");
  }

  /** The values in the page's address over those that the page opens with. */
  restore(query) {
    for (const name of FIELDS) if (query.has(name)) this.request[name] = query.get(name);
    if (query.has("preset")) this.changed = {};
    for (const [key, text] of query) if (key.startsWith(OPTION) && key.slice(OPTION.length) in this.properties()) this.read(key.slice(OPTION.length), text);
  }

  /** Something has changed: show it, put it into the address, ask what it costs. */
  altered() {
    this.update();
    if (!this.types || !this.request.model_type) return;
    const values = Object.fromEntries(FIELDS.map((name) => [name, this.request[name] === this.usual[name] ? "" : this.request[name]]));
    const preset = this.preset();
    const opened = { ...preset, ...(this.request.preset === this.before?.preset ? this.copied : {}) };
    const now = { ...preset, ...this.changed };
    for (const name of Object.keys(this.properties())) values[OPTION + name] = this.texts[name] ?? (same(now[name], opened[name]) ? "" : shown(now[name]) || "null");
    setParameters(values);
    this.estimate.ask(Object.keys(this.errors).length ? null : this.body());
  }

  properties() {
    return this.type().hyperparameters_schema.properties;
  }

  type() {
    return this.types.find((type) => type.name === this.request.model_type);
  }

  preset() {
    return this.type().presets.find((preset) => preset.name === this.request.preset)?.hyperparameters ?? {};
  }

  take(name) {
    const type = this.types.find((each) => each.name === name) ?? this.types[0];
    Object.assign(this.request, { model_type: type.name, dataset: usualDataset(type, new Map(this.datasets.map((each) => [each.name, each]))), preset: "fast", init_from: "" });
    Object.assign(this, { before: null, copied: {}, changed: {}, texts: {}, errors: {} });
    this.usual = { ...this.request, name: "", seed: "", priority: "normal" };
  }

  pick(name) {
    const options = Object.keys(this.properties()).map((each) => [OPTION + each, ""]);
    this.take(name);
    setParameters({ ...Object.fromEntries(options), type: name, from: "", continue: "" });
    this.altered();
  }

  set(name, value) {
    this.request = { ...this.request, [name]: value };
    delete this.estimate.errors[`/${name}`];
    if (name === "preset") this.changed = {};
    this.altered();
  }

  read(name, text) {
    const pointer = `/hyperparameters/${name}`;
    this.texts[name] = text;
    delete this.estimate.errors[pointer];
    try {
      const value = parse(text, this.properties()[name]);
      delete this.errors[pointer];
      delete this.texts[name];
      this.changed = { ...this.changed, [name]: value };
      if (same(value, this.preset()[name])) delete this.changed[name];
    } catch (error) {
      this.errors[pointer] = error.message;
    }
  }

  edit(name, text) {
    this.read(name, text);
    this.altered();
  }

  reset(name) {
    this.changed = { ...this.changed };
    delete this.changed[name];
    delete this.texts[name];
    delete this.errors[`/hyperparameters/${name}`];
    delete this.estimate.errors[`/hyperparameters/${name}`];
    this.altered();
  }

  /** Sentences by pointer: of what was typed, and of the server. */
  problems() {
    return { ...this.estimate.errors, ...this.errors };
  }

  body() {
    const { model_type, dataset, preset, name, seed, priority, init_from } = this.request;
    return { model_type, dataset, preset, priority, hyperparameters: this.changed, ...(name && { name }), ...(seed !== "" && { seed: Number(seed) }), ...(init_from && { init_from }), ...this.placement() };
  }

  /** What the job that this one starts from asks of its worker. */
  placement() {
    const { requested_device: device = "auto", requires = [] } = this.before ?? {};
    return { ...(device !== "auto" && { device }), ...(requires.length && { requires }) };
  }

  async submit(event) {
    event.preventDefault();
    if (Object.keys(this.errors).length) return this.focusError();
    this.sending = true;
    this.failure = null;
    this.update();
    try {
      const job = await change("POST", "/v1/training-jobs", this.body(), { headers: { "Idempotency-Key": (this.key ??= crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`) } });
      location.assign(`${BASE}/jobs/${job.id}`);
    } catch (error) {
      this.sending = false;
      this.key = null;
      if (error instanceof Problem && error.errors.length) this.estimate.errors = Object.fromEntries(error.errors.map((each) => [each.pointer, each.detail]));
      else this.failure = error;
      this.update();
      queueMicrotask(() => this.focusError());
    }
  }

  focusError() {
    const first = this.querySelector('[aria-invalid="true"]');
    first?.closest("details")?.setAttribute("open", "");
    first?.focus();
  }

  error(pointer) {
    const problems = this.problems();
    return problems[pointer] ?? Object.entries(problems).find(([each]) => each.startsWith(`${pointer}/`))?.[1];
  }

  field(name, label, control, help = "") {
    const error = this.error(`/${name}`);
    return html`<div class="field" data-field=${name}><label for=${name}>${label}</label>${control(error)}<p class=${error ? "error" : "muted help"} id="${name}-help">${error ?? help}</p></div>`;
  }

  view() {
    if (!this.types) return this.failure ? errorPanel(this.failure) : html`<div class="empty">Reading the model types …</div>`;
    const type = this.type(), { request } = this;
    const fitting = this.datasets.filter((dataset) => dataset.kind === type.data_kind && (!type.needs_labels || dataset.classes));
    const select = (name, options) => (error) => html`<select id=${name} name=${name} aria-invalid=${Boolean(error)} aria-describedby="${name}-help" @change=${(event) => this.set(name, event.target.value)}>${options.map(([value, text]) => html`<option value=${value} ?selected=${value === request[name]}>${text}</option>`)}</select>`;
    const input = (name, kind = "text", placeholder = "") => (error) => html`<input id=${name} name=${name} type=${kind} placeholder=${placeholder} aria-invalid=${Boolean(error)} aria-describedby="${name}-help" .value=${live(String(request[name]))} @input=${(event) => this.set(name, event.target.value)}>`;
    const dataset = this.datasets.find((each) => each.name === request.dataset);
    const problems = this.problems();
    const others = Object.keys(problems).filter((pointer) => !pointer.startsWith("/hyperparameters/") && !(pointer.split("/")[1] in request));
    const continued = this.models.filter((model) => model.model_type === type.name).map((model) => [model.id, `${model.name ?? model.dataset} (${model.id.slice(0, 10)}…)`]);
    if (request.init_from && !continued.some(([id]) => id === request.init_from)) continued.push([request.init_from, request.init_from.startsWith("ckp_") ? `checkpoint ${request.init_from.slice(0, 10)}…` : request.init_from]);
    return html`<form @submit=${(event) => this.submit(event)} novalidate>
      <div class="bar"><h1>${this.before ? `${parameters().has("continue") ? "Continue" : "Train again"}: ${titleOf(this.before)}` : "New training"}</h1><button class="primary" ?disabled=${this.sending}>${this.sending ? "Sending …" : "Train"}</button></div>
      ${this.failure ? errorPanel(this.failure) : nothing}
      ${others.length ? html`<div class="notice bad" role="alert">${others.map((pointer) => html`<p><code>${pointer}</code> ${problems[pointer]}</p>`)}</div>` : nothing}
      ${this.before ? this.difference() : nothing}
      ${this.estimate.view()}
      <div class="panel">
        <fieldset class="choice"><legend>Model type</legend>${this.types.map((each) => html`<label><input type="radio" name="model_type" value=${each.name} .checked=${live(each.name === type.name)} @change=${() => this.pick(each.name)}> <span><strong>${each.title}</strong><br><span class="muted">${each.summary}</span></span></label>`)}</fieldset>
      </div><div class="panel fields grid">
        ${this.field("dataset", "Dataset", select("dataset", fitting.map((each) => [each.name, `${each.name}${each.availability === "downloadable" ? " (is downloaded first)" : each.availability === "missing" ? " (not here)" : ""}`])), dataset?.detail ?? dataset?.title ?? "")}
        ${this.field("preset", "Preset", select("preset", type.presets.map((each) => [each.name, each.name])), "fast: ours. book: the published settings.")}
        ${this.field("name", "Name", input("name", "text", "optional"))}
        ${this.field("init_from", "Continue from", select("init_from", [["", "new weights"], ...continued]), "Starts with the weights of a model or checkpoint.")}
        ${this.field("priority", "Priority", select("priority", [["low", "low"], ["normal", "normal"], ["high", "high"]]))}
        ${this.field("seed", "Seed", input("seed", "number", "drawn"), "The same seed gives the same model on the same machine.")}
      </div>
      <section class="panel"><div class="bar"><h2>Hyperparameters</h2><span class="muted">${Object.keys(this.changed).length} changed from <strong>${request.preset}</strong></span>${Object.keys(this.changed).length ? html`<button type="button" @click=${() => (Object.assign(this, { changed: {}, texts: {}, errors: {} }), this.altered())}>Reset all</button>` : nothing}</div>
        <div class="grid">${Object.entries(type.hyperparameters_schema.properties).map(([name, schema]) => this.hyperparameter(name, schema))}</div></section>
      <section class="panel"><h2>As command</h2><pre>${this.command()}</pre></section>
    </form>`;
  }

  hyperparameter(name, schema) {
    const pointer = `/hyperparameters/${name}`;
    const error = this.error(pointer);
    const isChanged = name in this.changed;
    const value = this.texts[name] ?? shown(isChanged ? this.changed[name] : this.preset()[name]);
    const choices = core(schema).enum;
    const id = `hp-${name}`;
    const attributes = { invalid: Boolean(error), help: `${id}-help` };
    const control = choices
      ? html`<select id=${id} aria-invalid=${attributes.invalid} aria-describedby=${attributes.help} @change=${(event) => this.edit(name, event.target.value)}>${choices.map((choice) => html`<option ?selected=${String(choice) === value}>${choice}</option>`)}</select>`
      : html`<input id=${id} aria-invalid=${attributes.invalid} aria-describedby=${attributes.help} inputmode=${core(schema).type === "array" ? "text" : "decimal"} placeholder=${nullable(schema) ? "none" : ""} .value=${live(value)} @input=${(event) => this.edit(name, event.target.value)}>`;
    return html`<div class="field ${isChanged ? "changed" : ""}" data-field=${name}><label for=${id}>${name}${isChanged ? html` <span class="mark">changed</span> <button type="button" class="quiet reset" @click=${() => this.reset(name)} aria-label="Reset ${name}">↺</button>` : nothing}</label>${control}
      <p class=${error ? "error" : "muted help"} id=${attributes.help}>${error ?? html`${(schema.description ?? "").replaceAll("`", "")} <span class="bounds">${bounds(core(schema))}</span>`}</p></div>`;
  }

  difference() {
    const after = { ...this.preset(), ...this.changed }, before = this.before.hyperparameters;
    const names = Object.keys(after).filter((name) => !same(after[name], before[name]));
    const others = ["dataset", "preset", "init_from"].filter((name) => this.request[name] !== (this.before[name] ?? ""));
    const rows = [...others.map((name) => [name, this.before[name], this.request[name]]), ...names.map((name) => [name, before[name], after[name]])];
    return html`<div class="panel difference"><h2>Difference from ${titleOf(this.before)}</h2>${rows.length ? html`<dl class="facts">${rows.map(([name, old, now]) => html`<dt data-key=${name}>${name}</dt><dd><del>${JSON.stringify(old)}</del> → <strong>${JSON.stringify(now)}</strong></dd>`)}</dl>` : html`<p class="muted">None yet: this repeats the job with another seed.</p>`}</div>`;
  }

  command() {
    const body = this.body();
    const given = ["name", "seed", "priority", "init_from", "device"].filter((name) => name in body && body[name] !== "normal").map((name) => [name, body[name]]);
    const fields = [...given, ...(body.requires ?? []).map((label) => ["requires", label])].map(([name, value]) => ` ${option(name, value)}`).join("");
    const options = Object.entries(body.hyperparameters).map(([name, value]) => ` \\\n  ${option(name, Array.isArray(value) ? value.join(",") : value ?? "null")}`).join("");
    return `mimeo train ${body.model_type} --dataset ${body.dataset} --preset ${body.preset}${fields}${options}\n\n${curl("/v1/training-jobs", body)}`;
  }
}
customElements.define("m-new", NewJob);
mount("m-new");
