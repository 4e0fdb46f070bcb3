//go:build unix && !(darwin || dragonfly || freebsd || netbsd || openbsd)

package setup

import "golang.org/x/sys/unix"

const getTermios, setTermiosAndFlush = unix.TCGETS, unix.TCSETSF
