"""What is so on a host: for each part a probe (shell text), a frozen record and a pure parser between."""
