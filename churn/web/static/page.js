// Keys for people who work through a list. Everything works without this script.
"use strict";

(() => {
  const help = document.getElementById("help");
  const rows = [...document.querySelectorAll("table.accounts tbody tr")];
  let current = -1;

  const select = (index) => {
    if (!rows.length) return;
    rows[current]?.classList.remove("current");
    current = Math.max(0, Math.min(rows.length - 1, index));
    rows[current].classList.add("current");
    rows[current].querySelector("th a").focus();
  };

  // Tab and mouse move the current row too.
  document.addEventListener("focusin", (event) => {
    const index = rows.indexOf(event.target.closest?.("table.accounts tbody tr"));
    if (index < 0 || index === current) return;
    rows[current]?.classList.remove("current");
    current = index;
    rows[current].classList.add("current");
  });

  const press = (action) => {
    const place = rows.length ? rows[current] : document;
    place?.querySelector(`button[value="${action}"], button[value^="${action}:"]`)?.click();
  };
  const follow = (selector) => document.querySelector(selector)?.click();

  document.querySelector("[data-help]")?.addEventListener("click", (event) => {
    event.preventDefault();
    help.showModal();
  });

  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, textarea, select, dialog");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      j: () => select(current + 1),
      k: () => select(current - 1),
      c: () => press("contacted"),
      o: () => press("offer_made"),
      s: () => press("snoozed"),
      n: () => follow("main a[rel=next]"),
      p: () => follow("main a[rel=prev]"),
      u: () => follow("[data-up]"),
      "/": () => document.getElementById("find").focus(),
      "?": () => help.showModal(),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });

  // A filter applies at once.
  document.querySelectorAll("form.filters").forEach((form) =>
    form.addEventListener("change", () => form.requestSubmit()));

  // A second click sends nothing: the first one is on its way.
  document.querySelectorAll("form[method=post]").forEach((form) =>
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "1";
    }));
  window.addEventListener("pageshow", () =>
    document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));
})();
