// Package inbound guards what stands behind it: it orders the rules that a request
// meets before an origin that it is given. It opens no port, knows no service and
// never reaches for the network itself.
//
//	guard, err := inbound.New(inbound.Config{
//		Limits: inbound.Limits{URIBytes: 16 << 10},
//		Routes: []inbound.Route{{
//			Match:  route.Match{Path: "/api/users/**"},
//			Is:     &mesh.Route{Name: "/api/users/**", Service: "users"},
//			Auth:   auth.Layer(),
//			Origin: users,
//		}},
//	})
//
// The order is fixed:
//
//	sizes ▸ normalise ▸ match ▸ cors ▸ path limits ▸
//	    limit by address ▸ auth ▸ limit by subject ▸ transform ▸ cache ▸ rewrite ▸ origin
package inbound
