// Command pause is the first process of every pod: it holds the pod's namespaces, and reaps what the pod's containers orphan.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set when it is linked.
var version = "unknown"

func main() {
	// kubeadm runs `pause -v` in a Job to see whether the cluster runs pods, before it upgrades one.
	if len(os.Args) > 1 && os.Args[1] == "-v" {
		fmt.Println("pause", version)
		return
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 || err != nil {
			return
		}
	}
}
