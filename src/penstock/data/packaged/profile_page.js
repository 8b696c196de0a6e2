for (const chart of document.querySelectorAll(".penstock svg.histogram")) {
  const said = chart.parentElement.querySelector(".said");
  const say = (event) => { const bin = event.target.closest("g[data-said]"); said.textContent = bin ? bin.dataset.said : ""; };
  for (const kind of ["pointerover", "pointerdown", "focusin"]) chart.addEventListener(kind, say);
  for (const kind of ["pointerleave", "focusout"]) chart.addEventListener(kind, () => { said.textContent = ""; });
  chart.addEventListener("keydown", (event) => {
    const bin = event.target.closest("g[data-said]");
    const next = event.key === "ArrowRight" ? bin?.nextElementSibling : event.key === "ArrowLeft" ? bin?.previousElementSibling : null;
    if (next) { event.preventDefault(); bin.tabIndex = -1; next.tabIndex = 0; next.focus(); }
  });
}
