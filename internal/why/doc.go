// Package why keeps what was decided about the latest requests, for whoever asks later
// by a request's ID: the route, what the layers did, each attempt, the fault and the
// setting that is responsible.
//
//	decisions := why.NewRing()
//	stack := mesh.Stack(origin, decisions.Layer(why.Config{Hop: "outrider-7c94", Who: "ingress"}), forward, …)
//	…
//	for _, record := range decisions.Find(id) { … }
//
// It keeps no header, no query and no body, so that no secret is among it. What it
// holds is bounded: 4096 requests of late and, for longer, 1024 that failed, were slow
// or took several attempts, each of at most some 6 KiB and usually less than one. A
// request costs it a few copies and, once the ring is full, no allocation.
//
// [Answer] puts the records of several hops together, and finds the true cause among
// them. The package asks nobody: who joins the hops is the application.
package why
