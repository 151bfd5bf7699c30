"""Imports what is not there."""

import a_package_that_does_not_exist
