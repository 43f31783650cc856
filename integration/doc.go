// Package integration tests whole proxies: real listeners, real connections, real
// processes. Its tests read like prose, with the words of meshtest.
package integration
