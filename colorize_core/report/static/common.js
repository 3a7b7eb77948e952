"use strict";
// What every page shares. All content goes into the page as text or as attributes, never as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function image(source, alt, properties = {}) {
  return element("img", { src: source, alt, loading: "lazy", decoding: "async", ...properties });
}

// Two pictures over each other, divided by a native slider: dragging, touch and arrow keys come with it.
function compare(before, after, label, names = ["before", "after"]) {
  const box = element("div", { class: "compare" });
  const slider = element("input", { type: "range", min: 0, max: 100, value: 50, step: 1, "aria-label": label });
  const move = () => {
    box.style.setProperty("--split", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % ${names[0]}, the rest ${names[1]}`);
  };
  slider.addEventListener("input", move);
  after.classList.add("after");
  const tags = names.map((name, place) =>
    element("span", { class: `side ${place ? "two" : "one"}`, "aria-hidden": "true" }, name));
  box.append(before, after, ...tags, slider);
  move();
  box.toggle = () => {
    slider.value = slider.value > 50 ? 0 : 100;
    move();
  };
  return box;
}

function show(number, digits) {
  return number === null || number === undefined ? "–" : number.toFixed(digits);
}

const isTyping = (target) =>
  target.matches("textarea, select, input:not([type=range]):not([type=checkbox])") || target.isContentEditable;

document.querySelectorAll(".copy").forEach((button) => {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // pages from a folder may not write the clipboard
    }
  });
});
