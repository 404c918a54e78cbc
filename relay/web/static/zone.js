// Tells the server in which time zone the browser is: the next page has its times in it. Without it, they are in UTC.
"use strict";
(() => {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const told = `zone=${timeZone}`;
  if (!timeZone || document.cookie.split("; ").includes(told)) return;
  const safe = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${told}; Path=/; Max-Age=31536000; SameSite=Lax${safe}`;
})();
