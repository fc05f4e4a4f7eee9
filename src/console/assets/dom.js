// Elements. Text is always text: nothing in the page takes markup.

const maker = (create) => (name, ...parts) => {
	const [tag, ...classes] = name.split('.');
	const element = create(tag);
	if (classes.length) element.setAttribute('class', classes.join(' '));
	return add(element, ...parts);
};

// Makes an element: h('p.quiet', 'text'), h('a', { href }, child, child).
export const h = maker((tag) => document.createElement(tag));
export const svg = maker((tag) => document.createElementNS('http://www.w3.org/2000/svg', tag));

// Adds children and attributes; null and false are none.
export function add(element, ...parts) {
	for (const part of parts.flat(Infinity)) {
		if (part?.constructor === Object) set(element, part);
		else if (part !== null && part !== undefined && part !== false && part !== '') element.append(part);
	}
	return element;
}

export function set(element, attributes) {
	for (const [name, value] of Object.entries(attributes)) {
		if (typeof value === 'function') element.addEventListener(name, value);
		else if (name === 'value' || name === 'checked') element[name] = value;
		else if (value === null || value === undefined || value === false) element.removeAttribute(name);
		else element.setAttribute(name, value === true ? '' : value);
	}
	return element;
}

export const fill = (element, ...parts) => (element.replaceChildren(), add(element, ...parts));

let count = 0;
export const newId = () => `e${(count += 1)}`;
export const find = (selector) => document.querySelector(selector);

export function say(text) {
	fill(find('#live'), text);
	clearTimeout(say.timer);
	say.timer = setTimeout(() => fill(find('#live')), 10_000);
}

export const button = (text, click, look = '', more = {}) => h(`button.${look}`, { type: 'button', click, ...more }, text);
export const link = (text, href, look = 'button') => h(`a.${look}`, { href }, text);
export const notice = (look, ...text) => h(`div.notice.${look}`, { role: look === 'bad' && 'alert' }, h('p', text));

export const card = (label) => h('section.card.waits', { 'aria-label': label });

export const empty = (title, text, ...actions) => h('div.empty', h('h2', title), h('p.quiet', text), actions);

export const failed = (problem, again) => [notice('bad', problem.detail ?? String(problem)), again && button('Try again', () => again())];

export async function attempt(place, act, again) {
	try {
		return await act();
	} catch (problem) {
		if (problem.name !== 'AbortError') fill(place, failed(problem, again));
	}
}

export async function load(element, promise, show, again) {
	element.setAttribute('aria-busy', 'true');
	await attempt(element, async () => fill(element, show(await promise)), again);
	element.removeAttribute('aria-busy');
}
