"use strict";

// What leads nowhere here is left out: a page cannot set a cookie that scripts cannot read, so there is nothing to
// authorize with; there is one server, this one. The line on logging in stands in the place of all that.
const tidy = ({ React }) => {
  const nothing = () => () => null;
  const howToLogIn = () => () =>
    React.createElement(
      "p",
      { className: "login" },
      "To log in, open ",
      React.createElement("a", { href: "#/Account/login_account" }, "Account → Log in"),
      ", put in your name and password, and press Execute. The cookie then goes with every call from this page.",
    );
  return {
    wrapComponents: {
      AuthorizeBtnContainer: nothing,
      authorizeOperationBtn: nothing,
      OpenAPIVersion: nothing,
      ServersContainer: howToLogIn,
    },
  };
};

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#ui",
  deepLinking: true,
  defaultModelsExpandDepth: -1,
  displayRequestDuration: true,
  docExpansion: "list",
  plugins: [tidy],
  tryItOutEnabled: true,
  validatorUrl: null,
});

// Swagger UI reads the fragment once, when it is loaded; links within the page shall open operations too, and take
// the keyboard there.
window.addEventListener("hashchange", () => {
  const place = decodeURIComponent(location.hash);
  ui.layoutActions.parseDeepLinkHash(place);
  const block = document.getElementById(`operations-${place.split("/").slice(1).join("-")}`);
  block?.querySelector(".opblock-summary-control").focus({ preventScroll: true });
});
