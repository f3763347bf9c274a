# make release BASE_URL=https://…   all that is given out, of a tagged commit, in dist/
# make release SNAPSHOT=1           the same of the work tree as it is
#
# (make takes "make release --snapshot" for an option of its own, and fails;
# scripts/release.sh --snapshot is the literal form.)

.PHONY: release release-snapshot

release:
	scripts/release.sh $(if $(SNAPSHOT),--snapshot) $(if $(BASE_URL),--base-url '$(BASE_URL)')

release-snapshot:
	scripts/release.sh --snapshot $(if $(BASE_URL),--base-url '$(BASE_URL)')
