package watch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"outrider/internal/watch"
)

// Files does not tell when it has begun: the file changes until it is seen.
func TestFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.yml")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- watch.Files(ctx, []string{file, file}, cancel) }()
	for i := 0; ctx.Err() == nil; i++ {
		if err := os.WriteFile(file, fmt.Append(nil, i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Files returned %v, want the context's error", err)
	}
}

func TestFilesWithADirectoryThatIsMissing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := watch.Files(ctx, []string{filepath.Join(t.TempDir(), "none", "gateway.yml")}, func() { t.Error("changed") })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Files returned %v, want the context's error", err)
	}
}
