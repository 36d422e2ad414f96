"use strict";

// The token is taken out of the address at once: it shall not stay in the history, nor be copied with the link.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", location.pathname);

const form = document.getElementById("form");
const said = document.getElementById("said");
const field = document.getElementById("new_password");
const button = form.querySelector("button");

const say = (text, isFault) => {
  said.textContent = text;
  said.className = isFault ? "fault" : "done";
  said.focus();
};

// What the problem itself says (RFC 9457): of the members when it names some, else of the whole.
const words = (problem) =>
  problem.errors?.map(({ message }) => `${message[0].toUpperCase()}${message.slice(1)}.`).join(" ") || `${problem.title}. ${problem.detail}`;

if (!token) {
  form.hidden = true;
  say("This page is opened by the link in a mail. Open the whole link, or ask for another mail.", true);
}

document.getElementById("show")?.addEventListener("change", (event) => {
  field.type = event.target.checked ? "text" : "password";
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  field?.removeAttribute("aria-invalid");
  const body = field ? { token, new_password: field.value } : { token };
  try {
    const answer = await fetch(form.dataset.operation, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (answer.ok) {
      form.remove();
      say(form.dataset.done, false);
      return;
    }
    const problem = await answer.json();
    say(words(problem), true);
    if (problem.code === "invalid_token") {
      form.remove();
    } else if (problem.errors && field) {
      field.setAttribute("aria-invalid", "true");
      field.focus();
    }
  } catch {
    say("The server cannot be reached. Try again.", true);
  }
  button.disabled = false;
});
