// The last sample of a model's training, once it scrolls into view. Its space is reserved.
import { html, nothing } from "./lib.js";
import { View } from "./element.js";
import { at } from "./address.js";
import { all, send } from "./api.js";

const LENGTH = 400;
const USUAL_TEMPERATURE = 0.5;

/** The sample that shows a model best: of the last step, and of texts the one nearest to a temperature of 0.5. */
export function best(samples) {
  const step = Math.max(...samples.map((sample) => sample.step));
  const distance = ({ details }) => Math.abs((details.temperature ?? USUAL_TEMPERATURE) - USUAL_TEMPERATURE);
  return samples.filter((sample) => sample.step === step).sort((a, b) => distance(a) - distance(b))[0];
}

class ModelPicture extends View {
  job = null;
  sample = null;
  text = "";

  start() {
    this.classList.add("picture", "tall");
    if (!this.job) return;
    this.observer = new IntersectionObserver(([{ isIntersecting }]) => {
      if (!isIntersecting) return;
      this.observer.disconnect();
      this.load().catch(() => {}); // the card works without its picture
    });
    this.observer.observe(this);
  }

  disconnectedCallback() {
    this.observer?.disconnect();
  }

  async load() {
    const samples = await all(`/v1/training-jobs/${this.job}/samples?limit=1000`);
    if (!samples.length) return;
    this.sample = best(samples);
    if (this.sample.media_type.startsWith("text/")) this.text = (await (await send("GET", `/v1/artifacts/${this.sample.id}/content`)).text()).slice(0, LENGTH);
    this.update();
  }

  address() {
    return at(`/v1/artifacts/${this.sample.id}/content`);
  }

  view() {
    if (this.text) return html`<pre aria-label="A text of the last epoch">${this.text}</pre>`;
    if (this.sample?.media_type.startsWith("image/")) return html`<img class="pixels" src=${this.address()} alt="Samples of the last epoch">`;
    return nothing;
  }
}
customElements.define("m-model-picture", ModelPicture);
