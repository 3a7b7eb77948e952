// An evaluation's page: the gray input, every model and the truth side by side; maps of the difference on demand.

const maps = () => byId("maps")?.checked ?? false;

function variant(row, each) {
  const source = maps() && each.map ? each.map : each.picture;
  const what = maps() && each.map ? `difference of ${each.name} from the truth` : each.name;
  return element("figure", {}, image(source, `${row.key}: ${what}`),
    element("figcaption", {}, element("b", {}, each.name), element("span", {}, each.score ?? "")));
}

function variants(row) {
  return element("div", { class: "variants", style: `--columns: ${Math.min(row.variants.length, 6)}` }, ...row.variants.map((each) => variant(row, each)));
}

function card(row, made, button) {
  made.append(element("div", { class: "sheet" }, button, variants(row)));
}

function open(row) {
  return [element("div", { class: "all" }, variants(row), definitions(figures(row)))];
}

byId("cards").classList.add("rows");
const gallery = startGallery({ card, open });
byId("maps")?.addEventListener("change", () => {
  byId("legend").hidden = !maps();
  gallery.cards.forEach((made, index) => made.querySelector(".variants").replaceWith(variants(data.rows[index])));
  gallery.reopen();
});
