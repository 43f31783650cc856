// Package inject adds the sidecar to manifests: to the workloads of Kubernetes
// manifests, and to services of compose files.
//
// It edits the text where the sidecar belongs and leaves every other byte alone, so
// that a diff shows the sidecar and nothing else. What has its sidecar already stays
// as it is: injecting twice is injecting once. Where a document cannot be edited in
// place, as in JSON, it is written anew as YAML.
//
// It never reads a file, talks to nobody, and returns no text where anything is
// wrong.
//
//	result, err := inject.Inject(text, inject.Options{File: "services.yaml"})
//	if err != nil {
//		return err // a Problems: every fault, by line
//	}
//	os.Stdout.Write(result.Text)
package inject
