// Package manifests reads what sidecar inject writes, and what stands in deploy, as
// Kubernetes does: strictly, into its own types. It is a module of its own, so that its
// libraries are none of the product's.
//
//	cd integration/manifests && go test ./...
package manifests
