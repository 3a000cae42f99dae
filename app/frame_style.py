"""The looks of the frame and the conversation, as a style sheet over the theme's: what is not any widget's default."""

from __future__ import annotations

from app import theme

RULES = """
#chatPane, #page, #transcript, #transcript > QWidget, #completeText, #systemText {{ background: {surface}; }}
#chatsPane, #chatList, QMainWindow, QStatusBar, #statusStrip, QMenuBar {{ background: {window}; }}
QStatusBar {{ border-top: 1px solid {line}; min-height: 30px; }}
QStatusBar::item {{ border: none; }}
QSplitter::handle {{ background: {line}; }}
#chatHeader {{ background: {surface}; border-bottom: 1px solid {line}; }}
#chatHeader QLabel#caption {{ padding-left: 4px; }}
#systemText {{ border: 1px solid {line}; border-radius: 6px; padding: 6px; }}

QPushButton#modelName {{ background: transparent; border: 1px solid transparent; border-radius: 6px; color: {text};
    font-size: 15px; font-weight: 600; padding: 0 6px; min-height: 30px; }}
QPushButton#systemButton {{ background: transparent; border: 1px solid transparent; border-radius: 6px;
    color: {muted}; padding: 0 8px; min-height: 28px; }}
QPushButton#modelName:hover, QPushButton#systemButton:hover, QPushButton#systemButton:checked {{
    background: {raised}; color: {text}; }}
QPushButton#segmentLeft, QPushButton#segmentRight {{ background: {raised}; border: 1px solid {line}; color: {muted};
    padding: 0 12px; min-height: 28px; }}
QPushButton#segmentLeft {{ border-top-left-radius: 6px; border-bottom-left-radius: 6px;
    border-top-right-radius: 0; border-bottom-right-radius: 0; border-right: none; }}
QPushButton#segmentRight {{ border-top-right-radius: 6px; border-bottom-right-radius: 6px;
    border-top-left-radius: 0; border-bottom-left-radius: 0; }}
QPushButton#segmentLeft:disabled, QPushButton#segmentRight:disabled {{ background: {window}; }}
QPushButton#segmentLeft:checked:enabled, QPushButton#segmentRight:checked:enabled {{ background: {surface};
    color: {text}; font-weight: 600; }}

#composer {{ background: {raised}; border: 1px solid {line}; border-radius: 10px; }}
#composer[focused="true"] {{ border-color: {accent}; }}
#composerText, #composerText:focus {{ background: transparent; border: none; padding: 0; color: {text}; }}
QPushButton#primary {{ background: {accent}; color: {on_accent}; border: 2px solid {accent}; border-radius: 6px;
    padding: 0 14px; font-weight: 600; }}
QPushButton#primary:hover {{ background: {accent_hover}; border-color: {accent_hover}; }}
QPushButton#primary:disabled {{ background: {line}; border-color: {line}; color: {muted}; }}

#focusMark {{ background: {accent}; }}
#userTurn {{ background: {raised}; border-radius: 10px; }}
#answerTurn, #userTurn QTextBrowser, #answerTurn QTextBrowser {{ background: transparent; border: none; padding: 0; }}
#messageEdit {{ background: {surface}; border: 1px solid {line}; border-radius: 6px; padding: 6px; }}
#completeText, #completeText:focus {{ border: none; padding: 0; }}

QToolButton[kind="quiet"]:checked {{ background: {selection}; }}
QLabel#caption {{ color: {muted}; font-size: 12px; background: transparent; }}
QLabel#welcomeText {{ color: {muted}; font-size: 15px; }}
QLabel#heading {{ color: {text}; font-weight: 600; padding-top: 12px; }}
QLabel#keys {{ color: {muted}; }}
QPushButton#pill {{ background: {surface}; color: {text}; border: 1px solid {line}; border-radius: 16px;
    padding: 0 14px; min-height: 30px; }}
QPushButton#pill:hover {{ background: {raised}; }}

#notice {{ background: {raised}; border: 1px solid {line}; border-left: 3px solid {muted}; border-radius: 6px; }}
#notice[error="true"] {{ border-left-color: {danger}; }}
#notice QLabel {{ background: transparent; }}
#notice QPushButton, #notice QToolButton {{ background: transparent; border: 2px solid transparent; border-radius: 6px;
    color: {accent}; padding: 0 8px; min-height: 24px; font-weight: 600; }}
#notice QPushButton:hover, #notice QToolButton:hover {{ background: {surface}; }}

QPushButton#newChat {{ background: {surface}; border: 1px solid {line}; border-radius: 6px; min-height: 34px;
    color: {text}; text-align: left; padding: 0 10px; }}
QPushButton#newChat:hover {{ background: {raised}; }}
QLineEdit > QToolButton {{ min-width: 0; min-height: 0; border: none; padding: 0; }}
#chatList {{ border: none; outline: none; }}
#chatList::item {{ border-radius: 6px; padding: 0 8px; color: {text}; }}
#chatList::item:disabled {{ color: {muted}; }}
#chatList::item:hover:enabled {{ background: {raised}; }}
#chatList::item:selected {{ background: {selection}; color: {text}; }}

QMainWindow > QTabBar {{ qproperty-elideMode: ElideNone; }}
QMainWindow > QTabBar::tab {{ padding: 6px 7px; font-size: 12px; }}
QMainWindow[drawer="true"] > QTabBar {{ qproperty-usesScrollButtons: false; }}
QMainWindow[drawer="true"] > QTabBar::tab {{ padding: 6px 3px; font-size: 11px; }}
#dockTitle {{ background: {window}; border-bottom: 1px solid {line}; }}
#dockTitleText {{ color: {text}; font-weight: 600; background: transparent; }}
#paneHolder {{ background: {surface}; }}
QMainWindow::separator {{ background: {line}; width: 1px; height: 1px; }}
QMainWindow::separator:hover {{ background: {accent}; }}

QPushButton#modelName:focus, QPushButton#systemButton:focus, QPushButton#segmentLeft:focus,
QPushButton#segmentRight:focus, QPushButton#newChat:focus, QPushButton#pill:focus, #systemText:focus,
#messageEdit:focus {{ border: 2px solid {accent}; }}
QToolButton[kind="quiet"]:focus, #notice QPushButton:focus, #notice QToolButton:focus {{ border-color: {accent}; }}
QPushButton#primary:focus {{ border-color: {text}; }}
"""


def sheet() -> str:
    """The rules in the colours of the theme in use."""
    now = theme.current()
    names = ("window", "surface", "raised", "line", "text", "muted", "accent", "on_accent", "selection", "danger")
    colors = {name: str(getattr(now, name)) for name in names}
    return RULES.format(**colors, accent_hover=now.accent_hover)
