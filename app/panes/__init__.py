"""Panes: one dock a file, each a view of `app.state`. A pane exports NAME, TITLE, ICON and Pane; none knows another."""
