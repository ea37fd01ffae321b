/** The Files part of the page. */

/** Fill the Files section. @param {HTMLElement} section @param {object} page - see `page.js` */
export function setUpFiles(section, page) {}
