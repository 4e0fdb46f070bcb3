package download

import "golang.org/x/sys/windows"

// freeSpace is how many bytes this user may still write below dir.
func freeSpace(dir string) (free uint64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err == nil {
		err = windows.GetDiskFreeSpaceEx(name, &free, nil, nil)
	}
	return free, err
}

// syncDir has nothing to do: NTFS keeps names in its own journal.
func syncDir(string) {}
