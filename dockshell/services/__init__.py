"""The services that something inside a container supervises: runit, s6 or supervisord."""
