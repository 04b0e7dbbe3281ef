"""A service on our flamepy that answers with what it is given: nothing but the way there and back is measured."""

import flamepy


class Echo(flamepy.FlameService):
    def on_session_enter(self, context):
        pass

    def on_task_invoke(self, context):
        return context.input

    def on_session_leave(self):
        pass


if __name__ == "__main__":
    flamepy.run(Echo())
