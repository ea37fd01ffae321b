/** Times within a recording, as text. */

/** Return a time as players write it: "0:07", "12:30", "1:02:03". */
export function mediaTime(time_s) {
  const { hours, minutes, seconds } = parts(time_s);
  const padded = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${padded(minutes)}:${padded(seconds)}` : `${minutes}:${padded(seconds)}`;
}

/** Return a time as it is spoken: "1 hour 2 minutes 3 seconds". */
export function spokenTime(time_s) {
  const { hours, minutes, seconds } = parts(time_s);
  const units = [[hours, "hour"], [minutes, "minute"], [seconds, "second"]];
  const said = units.filter(([number]) => number).map(([number, unit]) => `${number} ${unit}${number === 1 ? "" : "s"}`);
  return said.join(" ") || "0 seconds";
}

function parts(time_s) {
  const whole = Math.max(0, Math.floor(time_s));
  return { hours: Math.floor(whole / 3600), minutes: Math.floor(whole / 60) % 60, seconds: whole % 60 };
}
