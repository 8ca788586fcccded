"""What people see: tables, bars. The only room that knows rich, which is imported only where there is a terminal to
draw on."""
