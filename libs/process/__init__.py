"""What every service process is: settings, connections, background loops, health, and its life from start to end."""
