//go:build unix

package disk

import "errors"

// sync makes the names in a directory durable.
func (a *Archive) sync(directory string) error {
	d, err := a.root.Open(directory)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
