// Package policy holds the rules that a request must meet, each as a
// [mesh.Layer]: rate limits ([Limiter], [PathLimits]), forward authentication
// ([Auth]), cross-origin sharing ([NewCORS]) and size limits ([MaxBody],
// [MaxURI], [MaxHeaders]); and two origins that answer by themselves,
// [Redirect] and [Respond].
//
// A layer here judges one request by its head and either passes it on or
// returns a [mesh.Fault]. None of them picks an endpoint, opens a connection,
// reads configuration, or knows which layers stand around it: whoever puts a
// stack together gives the order.
//
//	limit, err := policy.NewLimiter(policy.LimitConfig{
//		Name: "default",
//		Rate: policy.Rate{PerMinute: 1000, Burst: 50},
//	})
//	...
//	auth, err := policy.NewAuth(policy.AuthConfig{
//		URL:     validate,    // http://auth-service/validate
//		Origin:  authService, // a stack of its own
//		TTL:     10 * time.Second,
//		Headers: map[string]string{"id": "X-User-Id"},
//	})
//	...
//	defer auth.Close()
//	stack := mesh.Stack(origin,
//		policy.MaxBody(1<<20),
//		limit.Layer(), // above auth: a flood of strangers never reaches the auth service
//		auth.Layer(),
//	)
package policy
