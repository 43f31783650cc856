// Package watch tells when files change, however they do: written in place, replaced
// by rename, swapped behind a symbolic link as Kubernetes does with ConfigMaps,
// deleted and made again.
//
// It never says what changed, reads no configuration, and takes no change of a
// file's times or modes for one of its content.
//
//	err := watch.Files(ctx, []string{"gateway.yml", "tls.crt"}, reload) // until ctx ends
package watch
