// Long work is done in several requests: each page asks for the next. Without scripts its button does.
for (const form of document.querySelectorAll("form[data-go-on]")) {
  form.requestSubmit();
}
