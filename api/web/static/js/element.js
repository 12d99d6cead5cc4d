// A custom element that renders into itself with lit-html.
import { render } from "./lib.js";

export class View extends HTMLElement {
  #due = false;
  connectedCallback() {
    this.start?.();
    this.update();
  }
  /** Render in the next animation frame, once for any number of calls. */
  update() {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      if (this.isConnected) {
        render(this.view(), this);
        this.rendered?.();
      }
    });
  }
}

/** Put a page's element into <main>. */
export function mount(name) {
  const main = document.getElementById("main");
  main.replaceChildren(document.createElement(name));
}
