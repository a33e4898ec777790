const items = [...document.querySelectorAll(".item")];
const [which, word, count] = ["which", "word", "count"].map((id) => document.getElementById(id));
function show() {
  const wanted = word.value.toLowerCase();
  let shown = 0;
  for (const item of items) {
    const fits = which.value === "all" || item.dataset[which.value] === "1";
    item.hidden = !(fits && item.textContent.toLowerCase().includes(wanted));
    shown += item.hidden ? 0 : 1;
  }
  count.textContent = `${shown} of ${items.length}`;
}
which.addEventListener("change", show);
word.addEventListener("input", show);
document.querySelector(".filter").hidden = false;
show();
