/** Times of the day and lengths of time, as text. */

const two = (number) => String(number).padStart(2, "0");

/** Return the local time of day of a date: "14:03:07". */
export function clockTime(date) {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Return a date and time that a file name may have: "2026-11-27 14.03". */
export function fileTime(date) {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}.${two(date.getMinutes())}`;
}
