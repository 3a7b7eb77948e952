// An archive's page: a slider on every picture, and each picture with its row.

// Before is the source's own small copy, or, at other sizes, the lightness of the picture, which is the photograph's.
function pair(row, source) {
  const ofSource = row.before && source === row.after;
  const before = ofSource ? image(row.before, "") : image(source, "", { class: "lightness" });
  const names = [ofSource ? "source" : "lightness", "in color"];
  return compare(before, image(source, `${row.key}, in color`), `Before and after of ${row.key}`, names);
}

function reason(row) {
  const status = element("span", { class: "status bad" }, row.status);
  return element("div", { class: "blank" }, status, element("span", {}, row.error || row.thumbnail_error || ""));
}

function card(row, made, button) {
  const [first] = figures(row);
  const line = [row.folder, first && `${first[0].toLowerCase()} ${first[1]}`].filter(Boolean).join(" · ");
  made.append(row.after ? pair(row, row.after) : reason(row),
    element("div", { class: "text" }, button, element("span", { class: "figures" }, line)));
}

function open(row) {
  const stage = element("div", { class: "stage" });
  const full = row.full || row.after;
  if (full) {
    const box = pair(row, full);
    box.style.setProperty("--shape", row.width && row.height ? `${row.width} / ${row.height}` : "1");
    const tools = element("div", { class: "tools" });
    if (row.full) {
      const actual = element("button", { type: "button", id: "actual", "aria-pressed": "false" }, "Actual pixels");
      actual.addEventListener("click", () => {
        const on = stage.classList.toggle("actual");
        actual.setAttribute("aria-pressed", String(on));
        box.style.width = on ? `${row.width}px` : "";
        box.style.height = on ? `${row.height}px` : "";
      });
      tools.append(actual, element("a", { href: row.full, target: "_blank", rel: "noopener" }, "Open the file"),
        "Lightness is that of the picture, which is the photograph's own.");
    } else {
      tools.append("A small copy: browsers cannot show this file, or its name.");
    }
    stage.append(tools, box);
  } else {
    stage.append(reason(row));
  }
  const aside = element("aside");
  if (row.before) {
    aside.append(image(row.before, `${row.key} as it is in the source`),
      element("p", { class: "note" }, row.is_color ? "The source, which was in color." : "The source."));
  }
  aside.append(definitions([...row.facts, ...figures(row)]));
  return [stage, aside];
}

startGallery({ card, open });
