"use strict";
// Filters the cards of rows by words and by facets. A link to a row opens its card, by any beginning of its id.
(() => {
  const form = document.querySelector(".filters");
  if (!form) return;
  const search = form.querySelector("input");
  const selects = [...form.querySelectorAll("select")];
  const count = form.querySelector("output");
  const cards = [...document.querySelectorAll("article")].map((card) => ({
    card, text: card.textContent.toLowerCase(), facets: JSON.parse(card.dataset.facets),
  }));
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { card, text, facets } of cards) {
      const chosen = selects.every((select, i) => select.value === "" || facets[i].includes(Number(select.value)));
      card.hidden = !(chosen && words.every((word) => text.includes(word)));
      shown += !card.hidden;
    }
    count.textContent = `${shown} of ${cards.length} rows`;
  };
  const open = () => {
    const id = location.hash.slice(1);
    if (!/^[0-9a-f]{4,32}$/.test(id)) return;
    const found = cards.find(({ card }) => card.id.startsWith(id) || id.startsWith(card.id));
    if (!found) {
      count.textContent = `${id} is not on this page: oresight explain ${id}`;
      form.scrollIntoView();
      return;
    }
    if (found.card.hidden) {
      form.reset();
      show();
    }
    found.card.querySelector("details").open = true;
    found.card.scrollIntoView();
  };
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", open);
  show();
  open();
})();
