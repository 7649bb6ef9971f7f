// Choosing checkpoints one by one means choosing "chosen ones".
const form = document.querySelector(".setup");
form?.addEventListener("change", (event) => {
  if (event.target.name === "place") form.elements.which.value = "chosen";
  if (event.target.name === "which" && event.target.value === "chosen") form.querySelector("details").open = true;
});
