// Where one is: `#/keys?state=active`. In the fragment, so that the page works below any path.

const decode = (text) => {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
};

export function here() {
	const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
	return { path: path.split('/').map(decode), query: new URLSearchParams(query) };
}

export function to(path, query = []) {
	const text = new URLSearchParams([...query].filter(([, value]) => value)).toString();
	return `#/${[path].flat().map(encodeURIComponent).join('/')}${text && `?${text}`}`;
}

export const go = (path, query) => (location.hash = to(path, query));

// The code of a link to sign in, which leaves the address bar and the history at once.
export function takeCode() {
	const code = /^#code=(.+)$/.exec(location.hash)?.[1];
	if (code) history.replaceState(null, '', location.pathname + location.search);
	return code && decode(code);
}
