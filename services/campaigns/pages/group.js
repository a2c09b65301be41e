"use strict";
// The visitor's clock may be wrong by hours, so only its distance from the server's is used.
const timer = document.querySelector(".countdown");
const deadline = Number(timer.dataset.deadline);
const offset = Number(timer.dataset.now) - Date.now();

function show() {
  const seconds = Math.max(0, Math.floor((deadline - Date.now() - offset) / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const pad = (n) => String(n).padStart(2, "0");
  timer.textContent = seconds === 0 ? "This group has ended" : `${h}:${pad(m)}:${pad(s)}`;
  if (seconds > 0) setTimeout(show, 1000);
}
show();

const local = document.querySelector(".local");
local.querySelector("time").textContent = new Intl.DateTimeFormat(undefined, {
  dateStyle: "full", timeStyle: "long",
}).format(new Date(deadline));
local.hidden = false;
