// Package route decides which rule a request meets. It normalises paths, parses
// path patterns and ranks rules as the Kubernetes Gateway API's HTTPRoute does. It
// never forwards, never answers, and knows nothing of what a rule leads to: that
// is the rule's Value, of any type.
//
//	table, err := route.NewTable([]route.Rule[string]{
//		{Match: route.Match{Path: "/api/users/**"}, Line: 12, Value: "users"},
//		{Match: route.Match{Path: "/api/users/me", Methods: []string{"GET"}}, Line: 14, Value: "profile"},
//	})
//	…
//	if err := route.Normalize(req.URL); err != nil {
//		return nil, err // a *mesh.Fault: the path hides something
//	}
//	rule, ok := table.Lookup(req)
//
// # Paths
//
// [Normalize] comes first, once for each request: rules then match exactly what
// the endpoint will see. Matching compares the decoded segments of the normalised
// path and passes over what endpoints are known to pass over, so that nobody
// slips by a rule with it: a trailing slash, and the ;parameters of a segment.
// Both are still forwarded.
//
// # Which rule
//
// Of the rules that a request meets, the first by this order counts:
//
//  1. the host: exact before *.example.com, there the longer suffix first, before none;
//  2. the path, segment by segment: a literal before *, * before **, longer first;
//  3. one that names methods;
//  4. more headers, then more query parameters;
//  5. the order in the file.
package route
