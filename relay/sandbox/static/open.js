/* A card of the portal posts its form into the application's frame as soon as it is shown. */
document.getElementById("frame-form").submit();
