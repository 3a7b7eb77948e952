"use strict";
// Shared by all pages. Content is inserted as text or attributes, never as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function image(source, alt, properties = {}) {
  return element("img", { src: source, alt, loading: "lazy", decoding: "async", ...properties });
}

// Two images on top of each other, divided by a native range input, which supports mouse, touch and arrow keys.
function compare(before, after, label, names = ["before", "after"]) {
  const box = element("div", { class: "compare" });
  const slider = element("input", { type: "range", min: 0, max: 100, value: 50, step: 1, "aria-label": label });
  const move = () => {
    box.style.setProperty("--split", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % ${names[0]}, ${100 - slider.value} % ${names[1]}`);
  };
  slider.addEventListener("input", move);
  after.classList.add("after");
  const tags = names.map((name, index) =>
    element("span", { class: `side ${index ? "two" : "one"}`, "aria-hidden": "true" }, name));
  box.append(before, after, ...tags, slider);
  move();
  box.toggle = () => {
    slider.value = slider.value > 50 ? 0 : 100;
    move();
  };
  return box;
}

function formatNumber(number, digits) {
  return number === null || number === undefined ? "–" : number.toFixed(digits);
}

const isTyping = (target) =>
  target.matches("textarea, select, input:not([type=range]):not([type=checkbox])") || target.isContentEditable;

function copyOnClick(button, code) {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // browsers refuse clipboard access to pages opened from a folder
    }
  });
}

document.querySelectorAll(".copy").forEach((button) => copyOnClick(button, button.parentElement.querySelector("code")));
