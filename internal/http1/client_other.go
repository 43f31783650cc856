//go:build !linux

package http1

func (c *client) turn(uintptr) bool { panic("no raw path here") }
