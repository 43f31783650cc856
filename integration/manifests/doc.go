// Package manifests reads what sidecar inject writes, and what stands in deploy, as
// Kubernetes and compose do: strictly, into their own types. It is a module of its own,
// so that their libraries are none of the product's.
//
//	cd integration/manifests && go test ./...
package manifests
