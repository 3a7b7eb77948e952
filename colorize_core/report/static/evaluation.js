// Page of an evaluation: the gray input, every model and the truth side by side, with difference maps on demand.

const showsMaps = () => byId("maps")?.checked ?? false;

function variant(row, each) {
  const isMap = showsMaps() && each.map;
  const source = isMap ? each.map : each.image;
  const content = isMap ? `difference between ${each.name} and the truth` : each.name;
  return element("figure", {}, image(source, `${row.key}: ${content}`),
    element("figcaption", {}, element("b", {}, each.name), element("span", {}, each.score ?? "")));
}

function variants(row) {
  const style = `--columns: ${Math.min(row.variants.length, 6)}`;
  return element("div", { class: "variants", style }, ...row.variants.map((each) => variant(row, each)));
}

function card(row, article, button) {
  article.append(element("div", { class: "sheet" }, button, variants(row)));
}

function open(row) {
  return [element("div", { class: "all" }, variants(row), definitions(measureValues(row)))];
}

if (!IS_WIDE) document.querySelectorAll("#h-table ~ details").forEach((each) => { each.open = false; });
byId("cards").classList.add("rows");
const gallery = startGallery({ card, open });
byId("maps")?.addEventListener("change", () => {
  byId("legend").hidden = !showsMaps();
  gallery.cards.forEach((article, index) => article.querySelector(".variants").replaceWith(variants(data.rows[index])));
  gallery.reopen();
});
