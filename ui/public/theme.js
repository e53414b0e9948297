/* Before the first paint: the look that was chosen last. No inline script: the page's policy forbids it. */
(() => {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem("tenuto.look") ?? "{}");
  } catch {}
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = kept.theme === "dark" || kept.theme === "light" ? kept.theme : dark ? "dark" : "light";
  root.dataset.density = kept.density === "compact" ? "compact" : "normal";
})();
