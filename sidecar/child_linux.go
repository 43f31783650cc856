package main

import "syscall"

// dieWithParent has the process killed when the sidecar dies by a SIGKILL of its own.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
